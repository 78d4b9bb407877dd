"""FastAPI: the tracker as a parameter, and the application's own authentication."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Header, HTTPException, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
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


async def account(datalyr: DatalyrDep, x_account: Annotated[str, Header()] = "") -> str:
    datalyr.user_id = x_account
    return x_account


def test_dependencies_of_dependencies(
    app: FastAPI, browser: TestClient, client: RecordingClient
) -> None:
    """Every one of them, plain or async, has the one tracker of the request."""

    def plain(datalyr: DatalyrDep, key: Annotated[str, Depends(account)]) -> Tracker:
        assert datalyr is current_tracker()
        datalyr.track("Plain", {"account": key})
        return datalyr

    dependency = Depends(plain)

    @app.get("/")
    async def view(datalyr: DatalyrDep, other: Any = dependency) -> None:
        assert datalyr is other
        datalyr.track("Seen")

    assert browser.get("/", headers={"X-Account": "7"}).status_code == 200
    assert told(client) == [("Plain", "v", "7"), ("Seen", "v", "7")]


def test_dependency_that_is_overridden(
    app: FastAPI, browser: TestClient, client: RecordingClient
) -> None:
    """As tests of an application do it: another user, with the application as it is."""

    @app.get("/")
    async def view(datalyr: DatalyrDep, key: Annotated[str, Depends(account)]) -> None:
        datalyr.track("Seen")

    async def bob(datalyr: DatalyrDep) -> str:
        datalyr.user_id = "bob"
        return "bob"

    app.dependency_overrides[account] = bob
    browser.get("/", headers={"X-Account": "ann"})
    app.dependency_overrides.clear()
    browser.get("/", headers={"X-Account": "ann"})
    assert told(client) == [("Seen", "v", "bob"), ("Seen", "v", "ann")]


def test_dependency_of_a_router_and_of_a_mounted_application(
    app: FastAPI, browser: TestClient, client: RecordingClient
) -> None:
    router = APIRouter(prefix="/shop", dependencies=[Depends(shop)])
    inner = FastAPI(dependencies=[Depends(shop)])
    for each in (router, inner):

        @each.get("/buy")
        def buy(datalyr: DatalyrDep) -> None:
            datalyr.track("Bought")

    app.include_router(router)
    app.mount("/inner", inner)
    for path in ("/shop/buy", "/inner/buy"):
        assert browser.get(path).status_code == 200
    assert told(client) == [("Entered", "v", None), ("Bought", "v", None)] * 2


def test_schema_of_the_api_is_as_without_datalyr(app: FastAPI, browser: TestClient) -> None:
    def schema_of(app: FastAPI, *, tracked: bool) -> Any:
        async def buy(item: int) -> int:
            return item

        async def tracked_buy(item: int, datalyr: DatalyrDep, request: DatalyrRequest) -> int:
            return item

        tracked_buy.__name__ = "buy"
        app.post("/buy")(tracked_buy if tracked else buy)
        return app.openapi()

    assert schema_of(app, tracked=True) == schema_of(FastAPI(), tracked=False)


def test_websocket_with_dependencies(
    app: FastAPI, browser: TestClient, client: RecordingClient
) -> None:
    @app.websocket("/chat")
    async def chat(
        websocket: WebSocket, datalyr: DatalyrDep, key: Annotated[str, Depends(account)]
    ) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            datalyr.track(text)
            await websocket.send_text(key)

    with browser.websocket_connect("/chat", headers={"X-Account": "7"}) as websocket:
        websocket.send_text("Said")
        assert websocket.receive_text() == "7"
    assert told(client) == [("Said", "v", "7")]


def test_request_that_is_not_valid(
    app: FastAPI, browser: TestClient, client: RecordingClient
) -> None:
    """No view runs, and nothing is tracked but what the handler tracks."""

    @app.exception_handler(RequestValidationError)
    async def sorry(request: DatalyrRequest, error: Exception) -> JSONResponse:
        request.datalyr.track("Not Valid")
        return JSONResponse({}, 422)

    @app.get("/")
    async def view(datalyr: DatalyrDep, item: int) -> None:
        datalyr.track("Seen")

    assert browser.get("/?item=many").status_code == 422
    assert told(client) == [("Not Valid", "v", None)]
