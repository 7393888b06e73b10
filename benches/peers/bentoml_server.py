"""BentoML with adaptive batching: bentoml serve bentoml_server:Server --port PORT."""

import os

import bentoml


@bentoml.service(workers=int(os.environ["PEER_WORKERS"]), traffic={"timeout": 30})
class Model:
    def __init__(self):
        from model import answer, predict

        self.ask, self.show = predict, answer

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=1000)
    def predict(self, texts: list[str]) -> list[dict]:
        return [self.show(p) for p in self.ask(texts)]


@bentoml.service(workers=1, traffic={"timeout": 30, "max_concurrency": 1000})
class Server:
    model = bentoml.depends(Model)

    @bentoml.api(route="/v1/sentiment")
    async def classify(self, text: str) -> dict:
        return (await self.model.to_async.predict([text]))[0]
