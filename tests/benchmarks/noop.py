"""The least that FastAPI can answer: the limit of the framework."""

from __future__ import annotations

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
@app.post("/")
async def nothing() -> dict[str, str]:
    """Do nothing."""
    return {}
