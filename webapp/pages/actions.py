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

from prodcore.app.drills import stop_objections
from prodcore.errors import Conflict, InvalidInput, NotFound, Problem, ProdError, ShardNotFound, Unavailable
from prodcore.processes.orders import ActionKind, ClusterAction
from prodcore.replicaset.diagnostic import ProblemLine
from prodcore.replicaset.status import Member, SetStatus
from prodcore.replicaset.switchover import choose_successor
from prodcore.routing import Range, name_key
from prodcore.sharding.mover import MoveOrder
from webapp.identity.caller import required_identity
from webapp.live import current_catalog, current_desk
from webapp.pages.cluster import drill_text, required_set
from webapp.pages.errors import core_text, problems_by_field
from webapp.pages.forms import is_draft, keeps_drafts, live_page
from webapp.pages.language import show_range

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
    "{range} is already on {shard}": lazy_gettext("{range} is already on {shard}."),
    "{range} still has products or old locations in {shard}": lazy_gettext(
        "{range} cannot move yet: {shard} still keeps old locations of its products, for up to twenty minutes."
    ),
    "{range} belongs to several shards: {shards}": lazy_gettext(
        "{range} belongs to several shards: {shards}. Move the part of one of them first."
    ),
    "another range is being moved": lazy_gettext("Another range is being moved: wait for it, or undo that move."),
    "there is no shard {shard}; there are {shards}": lazy_gettext("There is no shard {shard}. There are: {shards}."),
    "the move of {range} was undone": lazy_gettext("The move of {range} was undone."),
    "the move of {range} has already finished": lazy_gettext("The move of {range} has already finished."),
    "the move of {range} is not paused": lazy_gettext("The move of {range} is not paused."),
    "the drill runner was stopped; the move continues when it is active again": lazy_gettext(
        "The drill runner was stopped. The move continues when it is active again."
    ),
    "the drill runner was interrupted: check the cluster before you repeat it": lazy_gettext(
        "The drill runner was interrupted: check the cluster before you repeat the action."
    ),
    "it failed unexpectedly and may be half done: the drill runner's log has the reason": lazy_gettext(
        "It failed unexpectedly and may be half done. The drill runner's log has the reason."
    ),
    "no active drill runner took the order in time": lazy_gettext("No active drill runner took the order in time."),
    "a drill, or another action on a member, is running": lazy_gettext(
        "A drill, or another action on a member, is running: wait for it to end."
    ),
    "{member} is already the primary": lazy_gettext("{member} is already the primary."),
    "{member} cannot become primary: its priority is 0, or it has no vote": lazy_gettext(
        "{member} cannot become primary: its priority is 0, or it has no vote."
    ),
    "no secondary is within {seconds} s of the primary": lazy_gettext(
        "No secondary is within {seconds} s of the primary."
    ),
    "no secondary {member} is within {seconds} s of the primary": lazy_gettext(
        "{member} is no secondary within {seconds} s of the primary."
    ),
    "{set}: no new primary within 30 s": lazy_gettext("{set}: no new primary within 30 s."),
    "{set}: {member} has not rejoined within 30 s": lazy_gettext("{set}: {member} has not rejoined within 30 s."),
    "{set}: {member} became primary, not {chosen}": lazy_gettext("{set}: {member} became primary, not {chosen}."),
    "anyone who can connect to it has full access": lazy_gettext("Anyone who can connect to it has full access."),
    "start it with a keyFile": lazy_gettext("start it with a keyFile"),
    "it listens on every address of its host": lazy_gettext("It listens on every address of its host."),
    "bindIp: loopback and its own": lazy_gettext("bindIp: loopback and its own address"),
    "it offers zlib compression, which in older versions leaks memory to anyone who can connect ({cve})": lazy_gettext(
        "It offers zlib compression, which in older versions leaks memory to anyone who can connect ({cve})."
    ),
    "its oplog holds {size} MB: a member that is down for long has to copy everything again": lazy_gettext(
        "Its oplog holds {size} MB: a member that is down for long has to copy everything again."
    ),
    "replSetResizeOplog to at least {size} MB": lazy_gettext("replSetResizeOplog to at least {size} MB"),
    "a client that does not specify a write concern gets w: {w}": lazy_gettext(
        "A client that does not specify a write concern gets w: {w}."
    ),
    "setDefaultRWConcern with w: majority": lazy_gettext("setDefaultRWConcern with w: majority"),
    "mongod {version} has known vulnerabilities": lazy_gettext("mongod {version} has known vulnerabilities."),
    "update to {version} or newer": lazy_gettext("update to {version} or newer"),
    "1 product stays on {shard}: {why}": lazy_gettext("One product stays on {shard}: {why}"),
    "{n} products stay on {shard}: {why}": lazy_gettext("{n} products stay on {shard}: {why}"),
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


@blueprint.get("/cluster/<name>/switchover")
def new_switchover(name: str) -> str:
    """Who would take over from the primary, and whether that may be done now."""
    return _switchover_form(required_set(name), request.args)


@blueprint.post("/cluster/<name>/switchover")
def start_switchover(name: str) -> tuple[str, int] | Redirect:
    """Order it, unless something speaks against it now."""
    status = required_set(name)
    successor, refusal = _successor(status, request.form.get("to", ""))
    if successor is None or refusal or not current_desk().state.get().runners:
        return _switchover_form(status, request.form, refused=True), 409
    g.audit_subject = f"{name}: {successor.address}"
    placed = _place(ActionKind.SWITCHOVER, {"set": name, "member": successor.address})
    return redirect(url_for("pages.actions.follow", order=placed.id), 303)


@blueprint.get("/cluster/<name>/<member>/start")
def confirm_start(name: str, member: str) -> str:
    """Ask before a member is started."""
    return _member_form(ActionKind.START, name, member)


@blueprint.post("/cluster/<name>/<member>/start")
def start_member(name: str, member: str) -> tuple[str, int] | Redirect:
    """Start a member's process."""
    return _control(ActionKind.START, name, member)


@blueprint.get("/cluster/<name>/<member>/stop")
def confirm_stop(name: str, member: str) -> str:
    """Ask before a member is stopped, and say what speaks against it."""
    return _member_form(ActionKind.STOP, name, member)


@blueprint.post("/cluster/<name>/<member>/stop")
def stop_member(name: str, member: str) -> tuple[str, int] | Redirect:
    """Stop a member's process, unless the set would lose its majority."""
    return _control(ActionKind.STOP, name, member)


def _successor(status: SetStatus, to: str) -> tuple[Member | None, str]:
    """Who would take over, or why nobody may."""
    try:
        return choose_successor(status, to), ""
    except Unavailable as error:
        return None, "" if status.problems else action_text(error.message)


def _switchover_form(status: SetStatus, given: Mapping[str, str], *, refused: bool = False) -> str:
    successor, refusal = _successor(status, given.get("to", ""))
    return render_template(
        "actions/switchover.html",
        set=status,
        successor=successor,
        refusal=refusal,
        order_id=given.get("order") or str(uuid4()),
        runners=current_desk().state.get().runners,
        refused=refused,
    )


def _control(kind: ActionKind, name: str, member: str) -> tuple[str, int] | Redirect:
    if any(_against(kind, name, member)):
        return _member_form(kind, name, member, refused=True), 409
    address = required_set(name).required_member(member).address
    g.audit_subject = address
    placed = _place(kind, {"set": name, "member": address})
    return redirect(url_for("pages.actions.follow", order=placed.id), 303)


def _against(kind: ActionKind, name: str, member: str) -> tuple[Sequence[ProblemLine], bool]:
    """What speaks against it: problems of the set, and that no runner controls the member's process."""
    status = required_set(name)
    address = status.required_member(member).address
    against = stop_objections(status, address) if kind is ActionKind.STOP else []
    return against, address not in current_desk().state.get().controlled


def _member_form(kind: ActionKind, name: str, member: str, *, refused: bool = False) -> str:
    against, is_out_of_reach = _against(kind, name, member)
    return render_template(
        "actions/member.html",
        kind=kind.value,
        set=required_set(name),
        member=required_set(name).required_member(member),
        against=against,
        is_out_of_reach=is_out_of_reach,
        order_id=request.form.get("order") or str(uuid4()),
        refused=refused,
    )


def action_text(text: str) -> str:
    """Why an action was refused, or a move waits, in the language of the page where it is known."""
    known = core_text(text, SENTENCES)
    return show_range(known if known != text else drill_text(text))


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
        raise Conflict(f"the move of {order.bounds} has already finished")
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
