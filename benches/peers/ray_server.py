"""Ray Serve with batching: python ray_server.py PORT WORKERS."""

import sys
import time

import ray
from ray import serve


@serve.deployment(num_replicas=int(sys.argv[2]), max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.5})
class Sentiment:
    def __init__(self):
        from model import answer, predict

        self.ask, self.show = predict, answer

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.002)
    async def run(self, texts):
        return [self.show(p) for p in self.ask(texts)]

    async def __call__(self, request):
        return await self.run((await request.json())["text"])


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Sentiment.bind(), route_prefix="/v1/sentiment")
    print("ready", flush=True)
    while True:
        time.sleep(60)
