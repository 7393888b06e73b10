"""LitServe with dynamic batching: python litserve_server.py PORT WORKERS."""

import sys

import litserve
from model import answer, predict


class Sentiment(litserve.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        return request["text"]

    def batch(self, texts):
        return texts

    def predict(self, texts):
        return predict(texts)

    def unbatch(self, probabilities):
        return probabilities

    def encode_response(self, probability):
        return answer(probability)


if __name__ == "__main__":
    api = Sentiment(max_batch_size=32, batch_timeout=0.002, api_path="/v1/sentiment")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=int(sys.argv[2]))
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
