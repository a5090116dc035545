"""The pages `/docs` and `/openapi.json`. `/docs` is plain HTML without scripts or requests to other hosts."""

from __future__ import annotations

from html import escape
from typing import Any
from urllib.parse import quote

import orjson

from trackbox_serving.models.scorer import Column
from trackbox_serving.web.answers import Answer, json_answer
from trackbox_serving.web.envelope import Call
from trackbox_serving.web.service import Service

HTML = b"text/html; charset=utf-8"
SCHEMAS = {
    "double": {"type": "number", "format": "double"},
    "float": {"type": "number", "format": "float"},
    "long": {"type": "integer", "format": "int64"},
    "integer": {"type": "integer", "format": "int32"},
    "boolean": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
}
EXAMPLES: dict[str, Any] = {"double": 0.0, "float": 0.0, "long": 0, "integer": 0, "boolean": False}
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}, version {version}</title>
<link rel="stylesheet" href="/serving/style.css">
</head>
<body>
<h1>{name}, version {version}</h1>
<table>
{facts}
</table>
<h2>Score a row</h2>
<pre>{example}</pre>
<p>It needs the user and password of MLflow. Answer: <code>{answer}</code></p>
<h2>Columns</h2>
<table>
<tr><th>column</th><th>type</th><th>required</th></tr>
{columns}
</table>
<h2>Paths</h2>
<table>
{paths}
</table>
</body>
</html>
"""
PATHS = {
    "POST /invocations": "MLflow's protocol: JSON (dataframe_split, dataframe_records, inputs, instances), CSV,"
    " Parquet, and Arrow. ?details=true adds the decision and the threshold, ?explain=5 the strongest contributions.",
    "POST /feedback": 'Labels for rows that were scored, also weeks later: [{"request_id": "…", "row": 0, "label": 1}].'
    " request_id is the header X-Request-Id of the answer.",
    "GET /ping, /health": "200 as soon as the model is loaded.",
    "GET /version": "MLflow's version.",
    "GET /openapi.json": "This page for programs.",
    "GET /metrics": "Metrics for Prometheus.",
    "POST /serving/v2/models/NAME/infer": "The Open Inference Protocol.",
}


class Pages:
    """The handlers of `/docs` and `/openapi.json`."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def example(self) -> dict[str, Any]:
        """Return an example body for a request: the first row of the model's input example, or else zeros."""
        scorer = self.service.scorer
        if scorer.example is not None and len(scorer.example):
            row = scorer.example.iloc[:1].to_dict(orient="split")
            return {"dataframe_split": {"columns": row["columns"], "data": row["data"]}}
        values = [EXAMPLES.get(column.kind, "") for column in scorer.columns]
        return {"dataframe_split": {"columns": scorer.names, "data": [values]}}

    async def docs(self, _: Call) -> Answer:
        """Return the page `/docs`."""
        about, scorer = self.service.about, self.service.scorer
        body = orjson.dumps(self.example(), default=str).decode()
        command = [
            f"curl --cacert ca.crt --user NAME https://HOST/serving/{quote(about.name, safe='')}/invocations \\",
            "  --header 'Content-Type: application/json' --data @- <<'END'",
            body,
            "END",
        ]
        facts = {
            "alias": about.alias,
            "since": about.since,
            "promoted by": about.promoted_by,
            "run": about.run_id,
            "threshold": "" if about.threshold is None else f"{about.threshold:g}",
        }
        page = PAGE.format(
            name=escape(about.name),
            version=escape(about.version),
            facts=rows([key, value] for key, value in facts.items() if value),
            example=escape("\n".join(command)),
            answer=escape('{"predictions": [...]}'),
            columns=rows([one.name, one.kind, "yes" if one.required else "no"] for one in scorer.columns),
            paths=rows([path, what] for path, what in PATHS.items()),
        )
        return Answer(200, page.encode(), HTML)

    async def openapi(self, _: Call) -> Answer:
        """Return the OpenAPI description."""
        about, scorer = self.service.about, self.service.scorer
        error = {"description": "An error", "content": {"application/json": {"schema": ERROR}}}
        answers = dict.fromkeys(("400", "413", "415", "503"), error)
        record = {
            "type": "object",
            "properties": {one.name: schema(one) for one in scorer.columns},
            "required": [one.name for one in scorer.columns if one.required],
        }
        body = {
            "type": "object",
            "properties": {
                "dataframe_records": {"type": "array", "items": record},
                "dataframe_split": {
                    "type": "object",
                    "properties": {
                        "columns": {"type": "array", "items": {"type": "string"}},
                        "data": {"type": "array", "items": {"type": "array", "items": {}}},
                    },
                    "required": ["data"],
                },
                "inputs": {},
                "instances": {},
            },
            "minProperties": 1,
        }
        operation = {
            "summary": "Score rows",
            "parameters": [
                {"name": "details", "in": "query", "schema": {"type": "boolean"}},
                {"name": "explain", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 999}},
            ],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": body, "example": self.example()}},
            },
            "responses": {
                "200": {"description": "A prediction for each row", "content": {"application/json": {"schema": FOUND}}}
            }
            | answers,
        }
        simple = {"responses": {"200": {"description": "OK"}}}
        return json_answer(
            {
                "openapi": "3.1.0",
                "info": {"title": about.name, "version": about.version},
                "servers": [{"url": f"/serving/{quote(about.name, safe='')}"}],
                "paths": {
                    "/invocations": {"post": operation},
                    "/feedback": {"post": FEEDBACK},
                    **{path: {"get": simple} for path in ("/ping", "/health", "/version", "/metrics")},
                },
            }
        )


ERROR = {
    "type": "object",
    "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
    "required": ["error_code", "message"],
}
FOUND = {"type": "object", "properties": {"predictions": {"type": "array"}}, "required": ["predictions"]}

LABEL = {
    "type": "object",
    "properties": {
        "request_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "row": {"type": "integer", "minimum": 0, "default": 0},
        "label": {"type": "number"},
        "labels": {"type": "array", "items": {"type": "number"}},
    },
    "required": ["request_id"],
}
FEEDBACK = {
    "summary": "Send labels for rows that were scored",
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "array", "items": LABEL}}},
    },
    "responses": {
        "202": {"description": "The labels are kept"},
        **{status: {"description": "An error"} for status in ("400", "409", "413", "415", "503")},
    },
}


def schema(column: Column) -> dict[str, Any]:
    """Return the JSON schema of a column."""
    return dict(SCHEMAS.get(column.kind, {"type": "string"}))


def rows(lines: Any) -> str:
    """Return the rows of an HTML table."""
    return "\n".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in line) + "</tr>" for line in lines)
