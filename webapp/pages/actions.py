"""What operators do to the cluster on its pages: looked at first, ordered, seen as it is done.

The drill runner carries it out, as it does drills, by the code that the command line runs: the browser may close.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from apiflask import APIBlueprint
from flask import Response, flash, g, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from werkzeug.utils import redirect
from werkzeug.wrappers import Response as Redirect

from prodcore.errors import Conflict, InvalidInput, NotFound, Problem, ProdError, ShardNotFound
from prodcore.processes.orders import ActionKind, ClusterAction
from prodcore.routing import Range, name_key
from prodcore.sharding.mover import MoveOrder
from webapp.identity.caller import required_identity
from webapp.live import current_catalog, current_desk
from webapp.pages.errors import core_text, problems_by_field
from webapp.pages.forms import is_draft, keeps_drafts
from webapp.pages.language import show_range
from webapp.pages.live import live_page

blueprint = APIBlueprint("actions", __name__, enable_openapi=False)

AUDITED: Mapping[ActionKind, str] = {
    ActionKind.MOVE: "shard.move",
    ActionKind.DRAIN: "shard.drain",
    ActionKind.REBALANCE: "shard.rebalance",
    ActionKind.PAUSE: "shard.pause",
    ActionKind.RESUME: "shard.resume",
    ActionKind.ABORT: "shard.abort",
    ActionKind.SWITCHOVER: "set.switch_over",
    ActionKind.START: "member.start",
    ActionKind.STOP: "member.stop",
}
"""What the audit calls each."""
SENTENCES: dict[str, Any] = {
    "{range} is all in {shard} already": lazy_gettext("{range} is already on {shard}."),
    "{range} still has products or old places in {shard}": lazy_gettext(
        "{range} cannot move yet: {shard} still keeps old locations of its products, for up to twenty minutes."
    ),
    "{range} belongs to several shards: {shards}": lazy_gettext(
        "{range} belongs to several shards: {shards}. Move the part of one of them first."
    ),
    "another range is being moved": lazy_gettext("Another range is being moved: wait for it, or undo that move."),
    "there is no shard {shard}; there are {shards}": lazy_gettext("There is no shard {shard}. There are: {shards}."),
    "the move of {range} was taken back": lazy_gettext("The move of {range} was undone."),
    "the move of {range} is over": lazy_gettext("The move of {range} is over."),
    "the move of {range} is not paused": lazy_gettext("The move of {range} is not paused."),
    "the drill runner was stopped; the move goes on when it runs again": lazy_gettext(
        "The drill runner was stopped. The move continues when it runs again."
    ),
    "the drill runner was cut off: look at the cluster before you repeat it": lazy_gettext(
        "The drill runner was interrupted: look at the cluster before you repeat the action."
    ),
    "no active drill runner took the order in time": lazy_gettext("No active drill runner took the order in time."),
    "a drill, or another action on a member, is at work": lazy_gettext(
        "A drill, or another action on a member, is running: wait for it to end."
    ),
    "1 product stays in {shard}: {why}": lazy_gettext("One product stays on {shard}: {why}"),
    "{n} products stay in {shard}: {why}": lazy_gettext("{n} products stay on {shard}: {why}"),
}
"""What the core says of these actions in English, by its pattern."""
_PLANNED = (ActionKind.MOVE, ActionKind.DRAIN, ActionKind.REBALANCE)


@dataclass(frozen=True, slots=True)
class Preview:
    """What an action on ranges would do now."""

    orders: Sequence[MoveOrder] = ()
    rate: float | None = None
    """Products a second of the last moves."""
    errors: Mapping[str, str] = field(default_factory=dict)
    refusal: str = ""
    is_planned: bool = False
    """Whether the form was filled in, so that ``orders`` are all that would move."""

    @property
    def products(self) -> int:
        """About how many would be carried."""
        return sum(order.total for order in self.orders)

    @property
    def seconds(self) -> float | None:
        """How long that would take at the rate of the last moves."""
        return self.products / self.rate if self.rate else None


@blueprint.get("/cluster/moves/new")
def new_move() -> str:
    """What is to move, and what that would be."""
    return _move_form(request.args, _preview(request.args))


@blueprint.post("/cluster/moves/new")
@keeps_drafts
def start_move() -> tuple[str, int] | Redirect:
    """Order it, unless something speaks against it now."""
    preview = _preview(request.form)
    if is_draft():
        return _move_form(request.form, preview), 200
    if not preview.orders or not current_desk().state.get().runners:
        return _move_form(request.form, preview, refused=True), 422 if preview.errors else 409
    placed = _place(_kind(request.form), _arguments(request.form))
    g.audit_subject = "; ".join(f"{o.bounds} {o.source} → {o.target}" for o in preview.orders)
    return redirect(url_for("pages.actions.follow", order=placed.id), 303)


@blueprint.post("/cluster/moves/<uuid:move>/pause")
def pause_move(move: UUID) -> Redirect:
    """Let a move stop after its present batch."""
    return _want(ActionKind.PAUSE, move, gettext("The move pauses after its current batch."))


@blueprint.post("/cluster/moves/<uuid:move>/resume")
def resume_move(move: UUID) -> Redirect:
    """Go on with a move."""
    return _want(ActionKind.RESUME, move, gettext("The move continues."))


@blueprint.get("/cluster/moves/<uuid:move>/abort")
def confirm_abort(move: UUID) -> str:
    """Ask before what has moved is brought back."""
    return render_template("actions/abort.html", order=_at_work(move), runners=current_desk().state.get().runners)


@blueprint.post("/cluster/moves/<uuid:move>/abort")
def abort_move(move: UUID) -> Redirect:
    """Bring back what has moved."""
    return _want(ActionKind.ABORT, move, gettext("The move is being undone."))


@blueprint.get("/cluster/actions/<uuid:order>")
def follow(order: UUID) -> Response | str:
    """An action as it is carried out; everybody may look."""
    desk = current_desk()

    def context() -> dict[str, Any]:
        run = desk.board().actions.get(str(order))
        if run is None:
            raise NotFound(f"nothing was ordered as {order}")
        return {"run": run, "state": desk.state.get(), "moves": desk.latest_moves.get(), "now": datetime.now(UTC)}

    return live_page("actions/show.html", "actions/state.html", context, desk.state.wait)


def action_text(text: str) -> str:
    """Why an action was refused, or a move waits, in the language of the page where it is known."""
    return show_range(core_text(core_text(text, SENTENCES)))


def action_range(arguments: Mapping[str, str]) -> str:
    """The range that a move is about, as text."""
    return str(Range(arguments["lower"], arguments["upper"] or None, ""))


def _want(kind: ActionKind, move: UUID, done: str) -> Redirect:
    order = _at_work(move)
    if not current_desk().state.get().runners:
        flash(gettext("No drill runner is active, so nothing was done."), "warn")
        return redirect(url_for("pages.cluster.overview"), 303)
    _place(kind, {"move": str(move)})
    g.audit_subject = f"{order.bounds} {order.source} → {order.target}"
    flash(done, "note")
    return redirect(url_for("pages.cluster.overview"), 303)


def _at_work(move: UUID) -> MoveOrder:
    """The move, if its products are not all where they are to be. Raises NotFound, Conflict."""
    order = current_desk().moves().get(move)
    if order is None:
        raise NotFound(f"there is no move {move}")
    if order.carried_at:
        raise Conflict(f"the move of {order.bounds} is over")
    return order


def _place(kind: ActionKind, arguments: Mapping[str, str]) -> ClusterAction:
    """Order an action; the id that a form carries makes sending it twice one order."""
    try:
        id_ = UUID(request.form.get("order", ""))
    except ValueError:
        id_ = uuid4()
    action = ClusterAction(str(id_), kind, required_identity().username, datetime.now(UTC), arguments)
    current_desk().board().actions.place(action)
    g.audit_action = AUDITED[kind]
    return action


def _kind(given: Mapping[str, str]) -> ActionKind:
    """The action that a form is about: a move, where it does not say."""
    return next((kind for kind in _PLANNED if kind == given.get("kind")), ActionKind.MOVE)


def _arguments(given: Mapping[str, str]) -> dict[str, str]:
    """The arguments of the order. Raises InvalidInput with the fields that are wrong."""
    kind = _kind(given)
    if kind is ActionKind.REBALANCE:
        return {}
    if kind is ActionKind.DRAIN:
        return {"shard": given.get("shard", "")}
    problems, keys = [], {}
    for name in ("from", "below"):
        text = given.get(name, "").strip()
        try:
            keys[name] = name_key(text) if text else ""
        except InvalidInput as error:
            problems.append(Problem(name, "unroutable_name", error.message))
    if not problems and keys["below"] and keys["from"] >= keys["below"]:
        problems.append(Problem("below", "empty_range", "must come after the first name"))
    if problems:
        raise InvalidInput(problems=problems)
    return {"lower": keys["from"], "upper": keys["below"], "target": given.get("target", "")}


def _preview(given: Mapping[str, str]) -> Preview:
    kind = _kind(given)
    if (kind is ActionKind.MOVE and not given.get("target")) or (kind is ActionKind.DRAIN and not given.get("shard")):
        return Preview()
    try:
        action = ClusterAction("", kind, required_identity().username, datetime.now(UTC), _arguments(given))
        orders, rate = current_desk().plan_moves(action)
    except InvalidInput as error:
        return Preview(errors=problems_by_field(error))
    except (Conflict, ShardNotFound) as error:
        return Preview(refusal=action_text(error.message))
    return Preview(orders, rate, is_planned=True)


def _move_form(given: Mapping[str, str], preview: Preview, *, refused: bool = False) -> str:
    desk = current_desk()
    return render_template(
        "actions/move.html",
        kind=_kind(given).value,
        values=given,
        preview=preview,
        order_id=given.get("order") or str(uuid4()),
        shards=_shards(),
        runners=desk.state.get().runners,
        at_work=desk.latest_moves.get().at_work,
        refused=refused,
    )


def _shards() -> Sequence[str]:
    """The shards that may be chosen; empty ones are among them."""
    try:
        return current_catalog().shards
    except ProdError:
        return ()
