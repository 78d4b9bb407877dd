"""FastAPI: the tracker as a parameter, and the application's own authentication."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Header, HTTPException, WebSocket
from starlette.testclient import TestClient

from datalyr_core import Tracker, current_tracker
from datalyr_core.testing import RecordingClient
from datalyr_starlette import DatalyrMiddleware, DatalyrRequest
from datalyr_starlette.fastapi import DatalyrDep

VISITOR = {"Cookie": "__dl_visitor_id=v"}
ANN = uuid.UUID("3d5cf66d-203f-4009-8bb0-f3714da152a4")


@pytest.fixture
def app(client: RecordingClient) -> FastAPI:
    app = FastAPI()
    app.add_middleware(DatalyrMiddleware, client=client)
    return app


@pytest.fixture
def browser(app: FastAPI) -> TestClient:
    return TestClient(app, headers=VISITOR)


def told(client: RecordingClient) -> list[tuple[str, str, str | None]]:
    return [(event.event, event.anonymous_id, event.user_id) for event in client.events]


def test_parameter(app: FastAPI, browser: TestClient, client: RecordingClient) -> None:
    @app.get("/async")
    async def async_view(datalyr: DatalyrDep, item: int) -> int:
        assert datalyr is current_tracker()
        datalyr.track("Async")
        return item

    @app.get("/sync")
    def sync_view(datalyr: DatalyrDep) -> None:
        assert datalyr is current_tracker()
        datalyr.track("Sync")

    assert browser.get("/async?item=3").json() == 3
    assert browser.get("/sync").status_code == 200
    assert told(client) == [("Async", "v", None), ("Sync", "v", None)]


def test_parameter_is_no_part_of_the_api(app: FastAPI, browser: TestClient) -> None:
    @app.post("/buy")
    async def buy(datalyr: DatalyrDep, request: DatalyrRequest) -> None: ...

    operation = browser.get("/openapi.json").json()["paths"]["/buy"]["post"]
    assert "parameters" not in operation
    assert "requestBody" not in operation


def test_request_annotation(app: FastAPI, browser: TestClient, client: RecordingClient) -> None:
    @app.get("/")
    async def view(request: DatalyrRequest) -> None:
        request.datalyr.track("Seen")

    assert browser.get("/").status_code == 200
    assert told(client) == [("Seen", "v", None)]


def test_websocket(app: FastAPI, browser: TestClient, client: RecordingClient) -> None:
    @app.websocket("/chat")
    async def chat(websocket: WebSocket, datalyr: DatalyrDep) -> None:
        assert datalyr is websocket.datalyr
        await websocket.accept()
        await websocket.send_text(str(datalyr.track("Opened")))

    with browser.websocket_connect("/chat") as websocket:
        websocket.receive_text()
    assert told(client) == [("Opened", "v", None)]


class User:
    """As the models of fastapi-users are."""

    def __init__(self, key: uuid.UUID) -> None:
        self.id = key
        self.is_active = True


def current_user(
    request: DatalyrRequest, x_session: Annotated[str | None, Header()] = None
) -> User:
    """Authenticate in a dependency, as FastAPI's own tutorial does."""
    if x_session is None:
        raise HTTPException(401)
    user = User(uuid.UUID(x_session))
    request.datalyr.user_id = user.id
    return user


def shop(datalyr: DatalyrDep) -> Tracker:
    datalyr.track("Entered")
    return datalyr


def test_user_of_a_dependency(app: FastAPI, browser: TestClient, client: RecordingClient) -> None:
    @app.get("/")
    async def view(
        tracker: Annotated[Tracker, Depends(shop)], user: Annotated[User, Depends(current_user)]
    ) -> None:
        tracker.track("Bought")

    assert browser.get("/", headers={"X-Session": str(ANN)}).status_code == 200
    assert browser.get("/").status_code == 401
    assert told(client) == [
        ("Entered", "v", None),
        ("Bought", "v", str(ANN)),
        ("Entered", "v", None),
    ]


def test_user_in_the_scope(app: FastAPI, browser: TestClient, client: RecordingClient) -> None:
    @app.middleware("http")
    async def authenticate(request: DatalyrRequest, call_next: Any) -> Any:
        request.scope["user"] = User(ANN)
        return await call_next(request)

    @app.get("/")
    def view(datalyr: DatalyrDep) -> None:
        datalyr.track("Seen")

    browser.get("/")
    assert told(client) == [("Seen", "v", str(ANN))]


def test_dependency_with_an_end(app: FastAPI, browser: TestClient, client: RecordingClient) -> None:
    def session(datalyr: DatalyrDep) -> Any:
        yield
        datalyr.track("Ended")

    @app.get("/", dependencies=[Depends(session)])
    def view(tasks: BackgroundTasks, datalyr: DatalyrDep) -> None:
        tasks.add_task(datalyr.track, "Task")

    browser.get("/")
    assert sorted(told(client)) == [("Ended", "v", None), ("Task", "v", None)]


def test_missing_middleware() -> None:
    app = FastAPI()

    @app.get("/")
    async def view(datalyr: DatalyrDep) -> None: ...

    with pytest.raises(RuntimeError, match="DatalyrMiddleware must be installed"):
        TestClient(app).get("/")
