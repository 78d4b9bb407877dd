from typing import assert_type

from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from datalyr_core import Datalyr, Tracker
from datalyr_starlette import DatalyrMiddleware, DatalyrRequest, get_tracker
from datalyr_starlette.fastapi import DatalyrDep


async def buy(request: DatalyrRequest) -> Response:
    assert_type(request.datalyr, Tracker)
    assert_type(request.datalyr.track("Bought", {"price": 9}), str | None)
    request.datalyr.track("Bought", "9")  # wrong: properties are a mapping
    request.datalyr = None  # wrong: the middleware's
    return PlainTextResponse(request.url.path)


async def plain(request: Request) -> Response:
    assert_type(get_tracker(request), Tracker)
    request.datalyr.track("Bought")  # wrong: Starlette's own request does not say that it is there
    return Response()


async def talk(websocket: WebSocket) -> None:
    get_tracker(websocket).track("Talked")
    get_tracker("websocket")  # wrong: a connection


class Buy(HTTPEndpoint):
    async def post(self, request: DatalyrRequest) -> Response:
        request.datalyr.alias("new", "old")
        request.datalyr.aliases("new")  # wrong: no such call
        return Response()


app = Starlette(
    routes=[Route("/buy", buy), Route("/by", Buy), WebSocketRoute("/talk", talk)],
    middleware=[Middleware(DatalyrMiddleware, api_key="dk_…")],
)
app.add_middleware(DatalyrMiddleware, client=Datalyr("dk_…"))
app.add_middleware(DatalyrMiddleware, client="dk_…")  # wrong: a client
app.add_middleware(DatalyrMiddleware, api_key="dk_…", set_cookie=True)  # wrong: no such option
app.add_middleware(DatalyrMiddleware, api_key="dk_…", exclude=7)  # wrong: paths

api = FastAPI()
api.add_middleware(DatalyrMiddleware, api_key="dk_…")
router = APIRouter()


@api.post("/buy")
def api_buy(price: int, datalyr: DatalyrDep) -> dict[str, str | None]:
    assert_type(datalyr, Tracker)
    datalyr.track(price)  # wrong: a name is a string
    return {"event": datalyr.track("Bought", {"price": price})}


@router.post("/by")
async def router_buy(request: DatalyrRequest, datalyr: DatalyrDep) -> None:
    request.datalyr.track("Bought")
    datalyr.tracked("Bought")  # wrong: no such call
