"""Every way this project can fail, in one tree.

::

    ProdError                      internal             500  exit 1   anything unexpected
    ├── InvalidInput               invalid_input        422  exit 2   the caller can fix it; problems per field
    │   ├── UnreadableInput        unreadable_input     400           the body, header or file cannot even be read
    │   ├── UnroutableName         unroutable_name      422           nothing is left of the name to route by
    │   ├── InvalidCursor          invalid_cursor       400           a paging cursor that we did not make
    │   ├── IdempotencyKeyReused   idempotency_key_reused 422         the same key with another body
    │   ├── QueryTooBroad          query_too_broad      422           a list for which too much would have to be read
    │   └── PreconditionRequired   precondition_required 428          an edit without the version it saw
    ├── ConfigError                config_error         500  exit 2   settings; a process refuses to start
    ├── NotFound                   not_found            404  exit 3
    │   ├── ProductNotFound        product_not_found
    │   │   └── ProductDeleted     product_deleted                    it can still be restored
    │   ├── UserNotFound           user_not_found
    │   ├── TokenNotFound          token_not_found
    │   ├── SessionNotFound        session_not_found
    │   ├── ShardNotFound          shard_not_found
    │   ├── MemberNotFound         member_not_found
    │   ├── DrillNotFound          drill_not_found
    │   ├── ImportNotFound         import_not_found
    │   └── MappingNotFound        mapping_not_found
    ├── AuthError                  auth_error           401  exit 4
    │   ├── NotAuthenticated       not_authenticated    401
    │   │   └── SecondFactorRequired  second_factor_required          the password was right, a code is needed too
    │   ├── Forbidden              forbidden            403
    │   │   └── ProofRequired      proof_required                     prove once more that it is you
    │   └── TooManyAttempts        too_many_attempts    429           with Retry-After
    ├── Conflict                   conflict             409  exit 5
    │   ├── ProductExists          product_exists
    │   ├── UserExists             user_exists
    │   ├── TokenExists            token_exists
    │   ├── SkuTaken               sku_taken
    │   ├── VersionConflict        version_conflict     412           somebody else edited it meanwhile
    │   ├── LastAdmin              last_admin
    │   ├── AlreadySetUp           already_set_up                     the setup code has been used
    │   └── IncusRefused           incus_refused                      Incus will not do it, and says why
    ├── Unavailable                unavailable          503  exit 6   nothing happened: safe to repeat
    │   ├── NoPrimary              no_primary
    │   ├── ShardUnavailable       shard_unavailable
    │   ├── StaleShardMap          stale_shard_map                    by the map of now another shard owns the name
    │   ├── ServiceUnavailable     service_unavailable                webapp or authsvc does not answer
    │   ├── MemberUnavailable      member_unavailable                 one member does not answer
    │   ├── CommandRefused         command_refused                    a member refuses an administrative command
    │   ├── DrillRunning           drill_running                      another drill is at work
    │   ├── ClusterUnavailable     cluster_unavailable                the local cluster is not running
    │   └── IncusUnavailable       incus_unavailable                  Incus does not answer
    ├── OutcomeUnknown             outcome_unknown      504  exit 7   it may have happened: look the id up
    └── DrillFailed                drill_failed         500  exit 8   a promise was broken or a limit missed
        └── DrillVacuous           drill_vacuous        500  exit 9   no fault or no election took place

Each ``code`` is an API, never renamed. ``prodcore.web`` makes problem+json of errors, ``prodctl.terminal.output`` lines
and exit statuses. Messages are for who can do something about it; no secrets, driver texts or tracebacks in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

EXIT_OK, EXIT_FOUND = 0, 6  # found: all was looked at, and not all is well
EXIT_OUTPUT_LOST = 10  # all was done, and what there was to print could not be written
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one field of the input: ``field`` is a path such as ``tags.0``, empty for the whole."""

    field: str
    code: str
    message: str
    value: Any = None

    def as_dict(self) -> dict[str, Any]:
        """As it stands in problem+json (the refused value is left out: it may be large or secret)."""
        return {"field": self.field, "code": self.code, "message": self.message}


class ProdError(Exception):
    """Base of everything we raise on purpose."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    exit_status: ClassVar[int] = 1
    title: ClassVar[str] = "Something went wrong"

    def __init__(self, message: str = "", *, hint: str = "", **details: Any) -> None:
        super().__init__(message or self.title)
        self.hint = hint  # what can be done about it, a sentence; may be empty
        self.details = details  # facts for programs, JSON values only: shard="rsB", product_id="…"

    @property
    def message(self) -> str:
        """The sentence for people."""
        return str(self.args[0])


class InvalidInput(ProdError):
    """The caller can fix it; every problem is listed with its field."""

    code = "invalid_input"
    http_status = 422
    exit_status = 2
    title = "The input is not valid"

    def __init__(self, message: str = "", *, problems: Sequence[Problem] = (), hint: str = "", **details: Any) -> None:
        listed = "; ".join(f"{p.field}: {p.message}" if p.field else p.message for p in problems)
        super().__init__(message or listed, hint=hint, **details)
        self.problems = tuple(problems)


class UnreadableInput(InvalidInput):
    """The body, header or file cannot be read at all (bad JSON, wrong encoding)."""

    code = "unreadable_input"
    http_status = 400
    title = "The input cannot be read"


class UnroutableName(InvalidInput):
    """Nothing is left of the name once it is folded, so no shard can be chosen."""

    code = "unroutable_name"
    title = "The name contains nothing to route by"


class InvalidCursor(InvalidInput):
    """A paging cursor that we did not make, or made for another query."""

    code = "invalid_cursor"
    http_status = 400
    title = "The cursor is not valid"


class QueryTooBroad(InvalidInput):
    """No index serves this list, and too many products would have to be looked at for it."""

    code = "query_too_broad"
    title = "This list would have to read too many products"


class IdempotencyKeyReused(InvalidInput):
    """The key of another request."""

    code = "idempotency_key_reused"
    title = "The Idempotency-Key belongs to another request"


class PreconditionRequired(InvalidInput):
    """An edit or delete that does not say which version it saw."""

    code = "precondition_required"
    http_status = 428
    title = "State which version you saw"


class ConfigError(ProdError):
    """Settings that cannot work; all problems at once, before anything starts."""

    code = "config_error"
    exit_status = 2
    title = "The settings are not valid"

    def __init__(self, message: str = "", *, problems: Sequence[Problem] = (), hint: str = "") -> None:
        super().__init__(message or "; ".join(f"{p.field}: {p.message}" for p in problems), hint=hint)
        self.problems = tuple(problems)


class NotFound(ProdError):
    """There is no such thing."""

    code = "not_found"
    http_status = 404
    exit_status = 3
    title = "Not found"


class ProductNotFound(NotFound):
    """No product has that id or name."""

    code = "product_not_found"
    title = "No such product"


class ProductDeleted(ProductNotFound):
    """The product was deleted and can still be restored; ``version`` to be restored is in the details."""

    code = "product_deleted"
    title = "The product was deleted"


class UserNotFound(NotFound):
    """No user has that name."""

    code = "user_not_found"
    title = "No such user"


class TokenNotFound(NotFound):
    """No service token has that name."""

    code = "token_not_found"
    title = "No such token"


class SessionNotFound(NotFound):
    """The account has no such session."""

    code = "session_not_found"
    title = "No such session"


class ShardNotFound(NotFound):
    """No shard has that name."""

    code = "shard_not_found"
    title = "No such shard"


class DrillNotFound(NotFound):
    """No drill is kept under that id."""

    code = "drill_not_found"
    title = "No such drill"


class ImportNotFound(NotFound):
    """No import has that id."""

    code = "import_not_found"
    title = "No such import"


class MappingNotFound(NotFound):
    """No mapping of imports is kept under that name."""

    code = "mapping_not_found"
    title = "No such mapping"


class MemberNotFound(NotFound):
    """No member has that name."""

    code = "member_not_found"
    title = "No such member"


class AuthError(ProdError):
    """Not allowed. Never says which half was wrong."""

    code = "auth_error"
    http_status = 401
    exit_status = 4
    title = "Not allowed"


class NotAuthenticated(AuthError):
    """No valid login or token."""

    code = "not_authenticated"
    title = "Log in first"


class SecondFactorRequired(NotAuthenticated):
    """The password was right; this account needs the code of its second factor too."""

    code = "second_factor_required"
    title = "The code of your second factor is needed too"


class Forbidden(AuthError):
    """Logged in, without the right for this."""

    code = "forbidden"
    http_status = 403
    title = "You have no right to do this"


class ProofRequired(Forbidden):
    """A session is not enough for this: the password (and second factor) must have been given within five minutes."""

    code = "proof_required"
    title = "Confirm your identity again"


class TooManyAttempts(AuthError):
    """Too many failed logins; ``retry_after_seconds`` is in the details."""

    code = "too_many_attempts"
    http_status = 429
    title = "Too many attempts"


class Conflict(ProdError):
    """It collides with what is already there."""

    code = "conflict"
    http_status = 409
    exit_status = 5
    title = "It conflicts with existing data"


class ProductExists(Conflict):
    """Another product has this name and variant."""

    code = "product_exists"
    title = "A product with this name and variant exists"


class UserExists(Conflict):
    """Another user has this name."""

    code = "user_exists"
    title = "A user with this name exists"


class TokenExists(Conflict):
    """Another service token has this name."""

    code = "token_exists"
    title = "A token with this name exists"


class SkuTaken(Conflict):
    """Another product has this SKU."""

    code = "sku_taken"
    title = "Another product has this SKU"


class VersionConflict(Conflict):
    """Somebody changed it since it was read; nothing was written."""

    code = "version_conflict"
    http_status = 412
    title = "It was changed since you read it"


class LastAdmin(Conflict):
    """It would leave nobody who can administer users."""

    code = "last_admin"
    title = "The last admin cannot be removed"


class AlreadySetUp(Conflict):
    """The first admin exists; the setup code is spent."""

    code = "already_set_up"
    title = "The system already has its first admin"


class IncusRefused(Conflict):
    """Incus answers, and will not do what it was asked; its own reason is in the message."""

    code = "incus_refused"
    title = "Incus refuses"


class Unavailable(ProdError):
    """Nothing happened; it is safe to repeat."""

    code = "unavailable"
    http_status = 503
    exit_status = 6
    title = "Not available now"


class NoPrimary(Unavailable):
    """The replica set has no primary to write to."""

    code = "no_primary"
    title = "The replica set has no primary"


class ShardUnavailable(Unavailable):
    """No member of the shard answers; ``shard`` is in the details."""

    code = "shard_unavailable"
    title = "The shard does not answer"


class StaleShardMap(Unavailable):
    """The shard does not own the name, and no newer shard map is to be had here; ``shard`` is in the details."""

    code = "stale_shard_map"
    title = "The shard map in use is out of date"


class ServiceUnavailable(Unavailable):
    """A service (webapp, authsvc) does not answer; ``service`` is in the details."""

    code = "service_unavailable"
    title = "The service does not answer"


class MemberUnavailable(Unavailable):
    """One member gives no answer; ``member`` and ``silent`` (hung or cut off, not refused) are in the details."""

    code = "member_unavailable"
    title = "The member does not answer"


class CommandRefused(Unavailable):
    """A member refuses an administrative command; ``member`` and ``server_code`` are in the details."""

    code = "command_refused"
    title = "The member refuses the command"


class DrillRunning(Unavailable):
    """Another drill holds the lock, or has left something to put back."""

    code = "drill_running"
    title = "Another drill is running"


class ClusterUnavailable(Unavailable):
    """The local cluster is not running, or not fully."""

    code = "cluster_unavailable"
    title = "The local cluster is not running"


class IncusUnavailable(Unavailable):
    """Incus does not answer: no client, no daemon, or no way to it."""

    code = "incus_unavailable"
    title = "Incus does not answer"


class OutcomeUnknown(ProdError):
    """A write was sent and not answered: it may have happened. The id to look up is in the details."""

    code = "outcome_unknown"
    http_status = 504
    exit_status = 7
    title = "It is not known whether this happened"


class DrillFailed(ProdError):
    """A drill found a broken promise or missed a limit."""

    code = "drill_failed"
    exit_status = 8
    title = "The drill failed"


class DrillVacuous(DrillFailed):
    """The drill proved nothing: no fault or no election took place."""

    code = "drill_vacuous"
    exit_status = 9
    title = "The drill proved nothing"
