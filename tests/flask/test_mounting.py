"""How Datalyr comes onto an application, and where its configuration comes from."""

from __future__ import annotations

import gc
import weakref

import pytest
from flask import Blueprint, Flask, Response, render_template_string, request

import datalyr_flask
from datalyr_core import ConfigurationError, current_tracker
from datalyr_core.testing import RecordingClient, RecordingTransport, recording_client
from datalyr_flask import FlaskDatalyr, current_datalyr
from tests.flask.conftest import MakeApp


def events_of(app: Flask) -> list[tuple[str, str]]:
    client: RecordingClient = app.extensions["datalyr"]
    return [(event.event, event.anonymous_id) for event in client.events]


def test_public_names() -> None:
    assert sorted(datalyr_flask.__all__) == ["FlaskDatalyr", "current_datalyr"]


def test_application_factory() -> None:
    datalyr = FlaskDatalyr()

    def create_app(key: str) -> Flask:
        app = Flask(__name__)
        app.config["DATALYR_API_KEY"] = key
        datalyr.init_app(app)
        return app

    one, two = create_app("dk_one"), create_app("dk_two")
    clients = one.extensions["datalyr"], two.extensions["datalyr"]
    assert [client.config.api_key for client in clients] == ["dk_one", "dk_two"]
    for client in clients:
        client.close()


def test_applications_of_one_process_have_clients_of_their_own(make_app: MakeApp) -> None:
    apps = [make_app() for _ in range(3)]
    for number, app in enumerate(apps):

        @app.get("/buy")
        def buy() -> str:
            below = current_tracker()
            assert below is request.datalyr is not None
            below.track("Bought")
            return str(request.datalyr.anonymous_id)

        app.test_client(use_cookies=False).get(
            "/buy", headers={"Cookie": f"__dl_visitor_id=v{number}"}
        )
    assert [events_of(app) for app in apps] == [[("Bought", f"v{n}")] for n in range(3)]


def test_mounting_twice_is_refused(app: Flask) -> None:
    with pytest.raises(ConfigurationError, match=r"init_app\(app\) once for each application"):
        FlaskDatalyr().init_app(app)


def test_client_and_options_are_refused(client: RecordingClient) -> None:
    with pytest.raises(ConfigurationError, match="got a client and also debug, flush_at; give"):
        FlaskDatalyr(None, client, debug=True, flush_at=1)


def test_configuration_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_DATALYR_API_KEY", "dk_env")
    monkeypatch.setenv("FLASK_DATALYR_FLUSH_AT", "50")
    monkeypatch.setenv("FLASK_DATALYR_RESPECT_DNT", "true")
    monkeypatch.setenv("FLASK_DATALYR_EXCLUDE", '["/healthz"]')
    app = Flask(__name__)
    app.config.from_prefixed_env()
    FlaskDatalyr(app)
    with app.extensions["datalyr"] as client:
        config = client.config
    assert (config.api_key, config.flush_at, config.respect_dnt) == ("dk_env", 50, True)
    assert config.exclude == ("/healthz",)


def test_options_win_over_the_configuration() -> None:
    app = Flask(__name__)
    app.config.update(DATALYR_API_KEY="dk_app", DATALYR_FLUSH_AT=50, DATALYRE="another's")
    FlaskDatalyr(app, flush_at=7)
    with app.extensions["datalyr"] as client:
        assert (client.config.api_key, client.config.flush_at) == ("dk_app", 7)


def test_all_problems_are_in_one_error() -> None:
    app = Flask(__name__)
    app.config.update(DATALYR_HOTS="http://localhost", DATALYR_FLUSH_AT="many")
    with pytest.raises(ConfigurationError) as caught:
        FlaskDatalyr(app, timeout="long")
    for told in ("hots is no option; write 'host'", "flush_at", "timeout", "api_key is missing"):
        assert told in str(caught.value)
    assert "datalyr" not in app.extensions


def test_request_without_the_extension() -> None:
    FlaskDatalyr(Flask("other"), enabled=False)
    app = Flask(__name__)
    with app.test_request_context("/"):
        assert current_tracker() is None
        with pytest.raises(RuntimeError, match=r"not mounted on this application: call Flask"):
            _ = request.datalyr
        assert not hasattr(request, "datalyr")


def test_outside_a_request_there_is_flasks_own_error(app: Flask) -> None:
    with pytest.raises(RuntimeError, match="Working outside of request context"):
        current_datalyr.track("nowhere")
    with app.app_context():
        assert current_tracker() is None
        with pytest.raises(RuntimeError, match="Working outside of request context"):
            _ = current_datalyr.anonymous_id


def test_blueprint(app: Flask, client: RecordingClient) -> None:
    blueprint = Blueprint("shop", __name__, url_prefix="/shop")

    @blueprint.before_request
    def begin() -> None:
        current_datalyr.track("Began")

    @blueprint.get("/buy")
    def buy() -> str:
        current_datalyr.track("Bought")
        return ""

    app.register_blueprint(blueprint)
    app.test_client(use_cookies=False).get("/shop/buy", headers={"Cookie": "__dl_visitor_id=v"})
    assert events_of(app) == [("Began", "v"), ("Bought", "v")]


def test_templates_without_a_workspace(app: Flask) -> None:
    with app.test_request_context("/"):
        assert render_template_string("{{ datalyr_browser_sdk() }}") == ""


def test_applications_clients_and_requests_are_collected() -> None:
    alive: list[weakref.ref[object]] = []

    def serve() -> None:
        app = Flask(__name__)
        client = recording_client()
        FlaskDatalyr(app, client)

        @app.get("/")
        def view() -> str:
            request.datalyr.track("Seen")
            native = request._get_current_object()
            alive.extend(map(weakref.ref, (app, client, native, request.datalyr)))
            return ""

        app.test_client().get("/")
        assert len(client.events) == 1
        client.close()

    serve()
    assert len(alive) == 4
    gc.collect()
    assert [each() for each in alive] == [None] * 4


def test_cookie_sees_what_every_other_function_made_of_the_response() -> None:
    """Also those that were registered before Datalyr: a shared cache must not keep a visitor."""
    app = Flask(__name__)

    @app.after_request
    def make_public(response: Response) -> Response:
        response.headers["Cache-Control"] = "public, max-age=60"
        return response

    transport = RecordingTransport()
    FlaskDatalyr(app, api_key="dk_test", transport=transport, set_visitor_cookie=True)

    @app.get("/")
    def page() -> str:
        request.datalyr.track("Seen")
        return ""

    with app.extensions["datalyr"]:
        response = app.test_client().get("/")
    assert len(transport.bodies) == 1
    assert "Set-Cookie" not in response.headers
