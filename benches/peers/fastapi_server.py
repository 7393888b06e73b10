"""FastAPI on uvicorn: python fastapi_server.py PORT WORKERS."""

import sys

import fastapi
import pydantic
import uvicorn

from model import answer, predict

app = fastapi.FastAPI()


class Review(pydantic.BaseModel):
    text: str


@app.post("/v1/sentiment")
def classify(review: Review):
    return answer(predict([review.text])[0])


if __name__ == "__main__":
    uvicorn.run("fastapi_server:app", port=int(sys.argv[1]), workers=int(sys.argv[2]), log_level="warning")
