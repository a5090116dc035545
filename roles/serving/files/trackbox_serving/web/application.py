"""The web application, which maps paths to handlers."""

from __future__ import annotations

from trackbox_serving.web import metrics
from trackbox_serving.web.answers import Answer, RefusedError, json_answer
from trackbox_serving.web.draining import Draining
from trackbox_serving.web.envelope import Call, Envelope, Handler
from trackbox_serving.web.feedback import Feedback
from trackbox_serving.web.inference_protocol import InferenceProtocol
from trackbox_serving.web.invocations import Invocations
from trackbox_serving.web.pages import Pages
from trackbox_serving.web.service import Service


async def ping(_: Call) -> Answer:
    """Answer /ping and /health like MLflow. The process has loaded the model before it accepts requests."""
    return Answer(200, b"\n")


async def mlflow_version(_: Call) -> Answer:
    """Answer /version like MLflow."""
    from mlflow.version import VERSION

    return Answer(200, VERSION.encode())


async def show_metrics(_: Call) -> Answer:
    """The metrics of all processes."""
    return Answer(200, metrics.render(), metrics.KIND)


def counts_of(service: Service) -> Handler:
    """Return the handler of /drift, which only the follower can reach."""

    async def show_counts(_: Call) -> Answer:
        """The number of rows in each bin of the reference profile, counted by all processes."""
        if service.counts is None:
            raise RefusedError(404, "Drift is not measured: the model has no reference profile that can be used.")
        return json_answer(service.counts.snapshot())

    return show_counts


def create(service: Service) -> Envelope:
    """Return the application of one version."""
    pages, protocol = Pages(service), InferenceProtocol(service)
    paths: dict[str, tuple[dict[str, Handler], str]] = {
        "/invocations": ({"POST": Invocations(service)}, "invocations"),
        "/feedback": ({"POST": Feedback(service)}, "feedback"),
        "/ping": ({"GET": ping}, "ping"),
        "/health": ({"GET": ping}, "ping"),
        "/version": ({"GET": mlflow_version}, "version"),
        "/docs": ({"GET": pages.docs}, "docs"),
        "/openapi.json": ({"GET": pages.openapi}, "docs"),
        "/metrics": ({"GET": show_metrics}, "metrics"),
        "/drift": ({"GET": counts_of(service)}, "drift"),
    }

    def route(path: str) -> tuple[dict[str, Handler], str] | None:
        return paths.get(path) or (protocol.route(path) if path == "/v2" or path.startswith("/v2/") else None)

    return Envelope(service, route, Draining())
