"""Errors in the reader's language, as sentences and as pages: what happened, what it means, where to go from here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Response, current_app, flash, g, make_response, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from werkzeug.exceptions import HTTPException
from werkzeug.utils import redirect

from prodcore.catalog.stores import MAX_SEARCH_LENGTH
from prodcore.catalog.views import MAX_VIEW_NAME, MAX_VIEW_QUERY
from prodcore.errors import InvalidInput, NotAuthenticated, Problem, ProdError, ProofRequired, Unavailable
from prodcore.product.fields import FIELDS, MAX_PRICE, MAX_STOCK, MAX_TAG_LENGTH, SENTENCES
from webapp.pages.forms import came_from, can_be_draft, is_event_stream, is_partial, typed_draft, with_query
from webapp.pages.language import show_number

_FIELD_MESSAGES: dict[str, Any] = {
    "string_too_short": lazy_gettext("Fill this in."),
    **{code: lazy_gettext(text) for code, text in SENTENCES.items()},
    "forbidden_character": lazy_gettext("It contains a character that cannot be stored."),
    "unknown_currency": lazy_gettext("Use an ISO 4217 code such as EUR."),
    "string_pattern_mismatch": lazy_gettext("Use letters, digits and symbols without spaces or accents."),
    "unroutable_name": lazy_gettext("Use at least one letter, digit or symbol."),
    "empty_range": lazy_gettext("It must sort after the first name."),
    "too_long": lazy_gettext("At most 20 tags."),
    "decimal_max_places": lazy_gettext("At most 4 decimals."),
    "int_type": lazy_gettext("Enter a whole number such as 40."),
    "greater_than_equal": lazy_gettext("It cannot be negative."),
    "string_unicode": lazy_gettext("It contains a character that cannot be stored."),
    "literal_error": lazy_gettext("This option does not exist."),
    "bool_parsing": lazy_gettext("This option does not exist."),
    "datetime_parsing": lazy_gettext("Enter a date such as 2026-01-31."),
    "password_too_short": lazy_gettext("Too short: use a sentence of several words."),
    "password_too_long": lazy_gettext("Too long: at most 1024 characters."),
    "username": lazy_gettext("Use 1 to 64 Latin letters, digits and . _ - @, beginning with a letter or digit."),
    "name_taken": lazy_gettext("Another view has this name."),
    "too_many_views": lazy_gettext("There are 20 views already: remove one that nobody needs."),
    "password_guessable": lazy_gettext("Too easy to guess: use several words that have nothing to do with each other."),
}
_LENGTHS = {row.name: row.max_length for row in FIELDS if row.max_length} | {
    "tags": MAX_TAG_LENGTH,
    "search": MAX_SEARCH_LENGTH,
    "view": MAX_VIEW_NAME,
    "list": MAX_VIEW_QUERY,
}


def field_message(problem: Problem, *, price_example: str = "") -> str:
    """What is wrong with one field, as a sentence."""
    field = problem.field.split(".")[0]
    if problem.code in ("decimal_type", "decimal_parsing"):
        return str(gettext("Enter a price such as %(example)s.", example=price_example))
    if problem.code == "string_too_long" and field in _LENGTHS:
        return str(gettext("At most %(count)s characters.", count=show_number(_LENGTHS[field])))
    if problem.code in ("less_than", "less_than_equal", "int_parsing_size"):
        return str(gettext("At most %(most)s.", most=show_number(MAX_PRICE if field == "price" else MAX_STOCK)))
    known = _FIELD_MESSAGES.get(problem.code)
    return str(known) if known else problem.message[:1].upper() + problem.message[1:] + "."


_ERROR_TEXTS: dict[str, tuple[Any, Any]] = {
    "product_not_found": (
        lazy_gettext("Product not found"),
        lazy_gettext("It was deleted, or the address is incomplete. The list shows all products."),
    ),
    "shard_not_found": (
        lazy_gettext("Shard not found"),
        lazy_gettext("The cluster page lists all shards."),
    ),
    "drill_not_found": (
        lazy_gettext("Drill not found"),
        lazy_gettext("Only the last 500 are kept. The list shows them."),
    ),
    "forbidden": (
        lazy_gettext("Your role does not allow this"),
        lazy_gettext("You are logged in, but your role does not allow this. An administrator can change your role."),
    ),
    "invalid_cursor": (
        lazy_gettext("This page of the list no longer exists"),
        lazy_gettext("The link belongs to another search or is damaged. Start again from the first page."),
    ),
    "no_primary": (
        lazy_gettext("A new primary is being elected"),
        lazy_gettext("Nothing was changed. This usually takes a second or two: try again in a moment."),
    ),
    "shard_unavailable": (
        lazy_gettext("Part of the catalogue is not responding"),
        lazy_gettext("Nothing was changed. Products in other shards work as usual. Try again in a moment."),
    ),
    "stale_shard_map": (
        lazy_gettext("The catalogue is being reorganised"),
        lazy_gettext("Nothing was changed. Try again in a moment."),
    ),
    "service_unavailable": (
        lazy_gettext("The login service is not responding"),
        lazy_gettext("Users who are logged in can keep working. Logging in will work again when the service is back."),
    ),
    "unavailable": (
        lazy_gettext("Not available right now"),
        lazy_gettext("Nothing was changed. Try again in a moment."),
    ),
    "outcome_unknown": (
        lazy_gettext("We do not know whether this was done"),
        lazy_gettext("It was sent to the database, but no answer arrived in time. Check before you repeat it."),
    ),
    "too_many_attempts": (
        lazy_gettext("Too many attempts"),
        lazy_gettext("Wait a moment before you try again."),
    ),
    "already_set_up": (
        lazy_gettext("The system is already set up"),
        lazy_gettext("The first administrator exists. Log in, or ask an administrator for an account."),
    ),
}
_STATUS_TEXTS: dict[int, tuple[Any, Any]] = {
    400: (
        lazy_gettext("The request could not be understood"),
        lazy_gettext("The form may have been open for too long. Go back, load the page again and repeat it."),
    ),
    403: _ERROR_TEXTS["forbidden"],
    404: (
        lazy_gettext("Page not found"),
        lazy_gettext("The address may be mistyped, or what it showed was removed."),
    ),
    405: (
        lazy_gettext("This address cannot be used that way"),
        lazy_gettext("Use the buttons and links of the pages."),
    ),
    409: (
        lazy_gettext("This conflicts with existing data"),
        lazy_gettext("Nothing was changed. Go back and check the current values."),
    ),
    413: (
        lazy_gettext("This is too large"),
        lazy_gettext("Send less at a time."),
    ),
    422: (
        lazy_gettext("Something in this request is not valid"),
        lazy_gettext("Go back and correct it."),
    ),
    429: _ERROR_TEXTS["too_many_attempts"],
    503: _ERROR_TEXTS["unavailable"],
}
_UNEXPECTED = (
    lazy_gettext("Something went wrong"),
    lazy_gettext("It is not your fault. Give the number below to your administrator, who can look up what happened."),
)


def error_text(error: ProdError | HTTPException, status: int) -> tuple[str, str]:
    """Title and explanation of an error."""
    code = error.code if isinstance(error, ProdError) else ""
    title, text = _ERROR_TEXTS.get(str(code)) or _STATUS_TEXTS.get(status) or _UNEXPECTED
    details = error.details if isinstance(error, ProdError) else {}
    if shard := details.get("shard"):
        return gettext("%(title)s (%(shard)s)", title=title, shard=shard), str(text)
    if isinstance(error, InvalidInput) and error.problems:
        return str(title), " ".join(field_message(p) for p in error.problems)
    return str(title), str(text)


def problems_by_field(error: InvalidInput, *, price_example: str = "") -> dict[str, str]:
    """The first sentence for each field; what belongs to no field stands under the empty name."""
    found: dict[str, str] = {}
    for problem in error.problems:
        found.setdefault(problem.field.split(".")[0], field_message(problem, price_example=price_example))
    return found or {"": error.message}


_REFUSALS: dict[str, Any] = {
    "version_conflict": lazy_gettext("Another user changed it in the meantime."),
    "product_not_found": lazy_gettext("It no longer exists."),
    "product_deleted": lazy_gettext("It was deleted."),
    "product_exists": lazy_gettext("Another product has this name and presentation."),
    "sku_taken": lazy_gettext("Another product has this SKU."),
    "bad_encoding": lazy_gettext("It is not UTF-8."),
    "extra_forbidden": lazy_gettext("There is no field of this name."),
    "unknown_field": lazy_gettext("There is no field of this name."),
    "unknown_column": lazy_gettext("There is no column of this name."),
    "line_too_long": lazy_gettext("The line is too long."),
    "repeated": lazy_gettext("It is given twice."),
    "unclosed_quote": lazy_gettext("A quoted cell is never closed."),
    "bad_quotes": lazy_gettext("A quoted cell continues after its closing quote: inside a cell, double the quotes."),
    "too_many_cells": lazy_gettext("The row has more cells than the header."),
    "unclear_currency": lazy_gettext("The symbol may stand for several currencies: use a code such as EUR."),
    "ambiguous_number": lazy_gettext("The number can be read in two ways: choose the number format."),
    "formula_error": lazy_gettext("The cell shows an error of its formula."),
    "not_a_price": lazy_gettext("It is not a price."),
    "negative": lazy_gettext("It is negative."),
    "percentage": lazy_gettext("It is a percentage."),
    "formula": lazy_gettext("It is a formula: paste the column as values."),
    "formula_without_value": lazy_gettext(
        "It is a formula without a value: open the file in a spreadsheet and save it."
    ),
    "date": lazy_gettext("It is a date: format the column as text and type it again."),
    "digits_lost": lazy_gettext("Digits are missing: format the column as text and type it again."),
    "shown_otherwise": lazy_gettext("The sheet shows it differently: format the column as text and type it again."),
    "yes_or_no": lazy_gettext("It must be true or false, not text."),
    "decimal_type": lazy_gettext("It is not a price."),
    "decimal_parsing": lazy_gettext("It is not a price."),
    "not_a_number": lazy_gettext("It is not a number in the chosen number format."),
    "not_a_whole_number": lazy_gettext("It is not a whole number."),
    "not_yes_or_no": lazy_gettext("It must be yes or no."),
    "two_currencies": lazy_gettext("It has two currencies."),
    "missing": lazy_gettext("A value is missing."),
    "duplicate_in_file": lazy_gettext("An earlier row has the same product with other values."),
    "wrong_cell_count": lazy_gettext("The row has more or fewer cells than the header."),
    "wrong_type": lazy_gettext("It has the wrong type: text, a number or a list is expected."),
    "bad_json": lazy_gettext("It is not a JSON object."),
    "shard_unavailable": lazy_gettext("Its shard is not responding: nothing was done."),
    "no_primary": lazy_gettext("Its shard is not responding: nothing was done."),
    "stale_shard_map": lazy_gettext("The catalogue is being reorganised: nothing was done. Try again."),
    "outcome_unknown": lazy_gettext("No answer arrived: it may have been done. Check it."),
}


_CORE_SENTENCES: dict[str, Any] = {
    "the header cannot be read: {why}": lazy_gettext("The header cannot be read."),
    "the file is empty: there is not even a header": lazy_gettext("The file is empty: there is not even a header."),
    "the first sheet is empty: there is not even a header": lazy_gettext(
        "The first sheet is empty: there is not even a header."
    ),
    "the file takes too long to read": lazy_gettext("The file takes too long to read here."),
    "the workbook has no visible sheet": lazy_gettext("The workbook has no visible sheet."),
    "the workbook is damaged ({why})": lazy_gettext("The workbook is damaged."),
    "the workbook is damaged: it is a ZIP archive without an end": lazy_gettext("The workbook is damaged."),
    "the workbook is locked with a password": lazy_gettext("The workbook is locked with a password."),
    "the workbook is too large for a pipe": lazy_gettext("The workbook is too large."),
    "the XLSX file would unpack to far more than a sheet of products: it was not read": lazy_gettext(
        "The Excel file is far larger than a sheet of products."
    ),
    "the workbook holds {size} MiB of different texts, more than is held in memory": lazy_gettext(
        "The workbook holds {size} MiB of different texts: too many."
    ),
    "this is an old or a locked Excel file": lazy_gettext("This is an old or a locked Excel file."),
    "save it as .xlsx or as CSV UTF-8": lazy_gettext("Save it as .xlsx or as CSV UTF-8."),
    "save the sheet as CSV UTF-8: that may have any size": lazy_gettext("Save it as .xlsx or as CSV UTF-8."),
    "this is one JSON list": lazy_gettext("This is a JSON list: write one object a line."),
    "this is NDJSON in UTF-16, and JSON is UTF-8": lazy_gettext("This is NDJSON in UTF-16: save it as UTF-8."),
    "this is neither text nor a workbook": lazy_gettext("This is neither text nor a workbook."),
    "this is a ZIP archive that contains {held}": lazy_gettext("This is a ZIP archive: unpack it. It contains: {held}"),
    "this is {what}": lazy_gettext("This is not a file of products: CSV, XLSX, ODS and NDJSON can be read."),
    "no column contains {what}; the columns are {titles}": lazy_gettext(
        "No column contains {what}. The columns: {titles}"
    ),
    "the columns {names} both contain the {what}": lazy_gettext("The columns {names} both contain {what}."),
    "the columns {names} all contain the {what}": lazy_gettext("The columns {names} all contain {what}."),
    "it was stopped": lazy_gettext("It was stopped."),
    "another drill is running, ordered by {by}": lazy_gettext("Another drill is running, started by {by}."),
    "round {n}, {set}: {problem}": lazy_gettext("Round {n}, {set}: {problem}"),
    "acknowledged writes lost: {n}, allowed: {limit}": lazy_gettext("Acknowledged writes lost: {n}, allowed: {limit}"),
    "acknowledged writes lost: {n}": lazy_gettext("Acknowledged writes lost: {n}"),
    "records stored more than once: {n}": lazy_gettext("Records stored more than once: {n}"),
    "records that lack their last write: {n}": lazy_gettext("Records that lack their last write: {n}"),
    "records stored although their request was refused: {n}": lazy_gettext(
        "Records stored although their request was refused: {n}"
    ),
    "requests failed: {n}, allowed: {limit}": lazy_gettext("Requests failed: {n}, allowed: {limit}"),
    "requests failed: {n}": lazy_gettext("Requests failed: {n}"),
    "the write gap was {found} s, allowed are {limit} s": lazy_gettext(
        "The longest write gap was {found} s, {limit} s are allowed"
    ),
    "the read gap was {found} s, allowed are {limit} s": lazy_gettext(
        "The longest read gap was {found} s, {limit} s are allowed"
    ),
    "the p99 during the fault was {found} s, allowed are {limit} s": lazy_gettext(
        "The 99th percentile during the fault was {found} s, {limit} s are allowed"
    ),
}
"""What the core says in English without a code, by its pattern."""


def core_text(text: str, sentences: Mapping[str, Any] = _CORE_SENTENCES) -> str:
    """A sentence of the core in the language of the page, where it is known; else as it is.

    The patterns of ``sentences`` are the core's own, such as ``requests failed: {n}``.
    """
    for pattern, sentence in sentences.items():
        facts = re.sub(r"\\\{(\w+)[^}]*\}", r"(?P<\1>.+?)", re.escape(pattern))
        if match := re.fullmatch(facts, text, re.DOTALL):
            return str(sentence).format(**match.groupdict())
    return text


def refusal_text(code: str, reason: str) -> str:
    """Why one of many was refused; the core's own English words where there are no others."""
    known = _REFUSALS.get(code) or _FIELD_MESSAGES.get(code)
    return str(known) if known else reason


_NOTICES = {
    "password_changed": lazy_gettext("Your password was changed."),
    "password_reset": lazy_gettext("Your password was set with a one-time code."),
    "second_factor_added": lazy_gettext("A second factor was set up for your account."),
    "second_factor_removed": lazy_gettext("The second factor of your account was removed."),
    "reset_code_made": lazy_gettext("An administrator created a one-time code to reset your password."),
    "token_made": lazy_gettext("A service token was created in your name."),
}


def notice_text(notice: Mapping[str, str]) -> str:
    """What was done to the visitor's account elsewhere, and from where."""
    said = str(_NOTICES.get(notice["what"], notice["what"]))
    return str(
        gettext(
            "%(what)s From %(address)s. If it was not you, tell an administrator.",
            what=said,
            address=notice["address"] or "?",
        )
    )


def wait_text(error: ProdError) -> str:
    """After too many attempts: when the next one may be made."""
    wait = error.details.get("retry_after_seconds", 60)
    return str(gettext("Too many attempts. Try again in %(wait)s seconds.", wait=wait))


def password_help() -> str:
    """What a new password must be like."""
    least = current_app.config["PASSWORD_MIN_LENGTH"]
    advice = gettext(
        "At least %(count)s characters. Several words are easy to remember and hard to guess.", count=least
    )
    return str(advice)


_RETRY_AFTER_SECONDS = 2


def error_page(error: ProdError | HTTPException) -> Response:
    """The page for an error; a visitor who is not logged in is led to the login instead."""
    if isinstance(error, NotAuthenticated):
        return _to_login()
    if isinstance(error, ProofRequired):
        return proof_form(asks_code=bool(error.details.get("second_factor")))
    if isinstance(error, HTTPException) and error.response is not None and error.code is None:
        return make_response(error.response)
    status = _status(error)
    title, text = error_text(error, status)
    template = "errors/part.html" if is_partial() else "errors/page.html"
    body = render_template(template, status=status, title=title, text=text, request_id=g.get("request_id"))
    response = make_response(body, status)
    wait = getattr(error, "details", {}).get("retry_after_seconds")
    if wait or isinstance(error, Unavailable):
        response.headers["Retry-After"] = str(wait or _RETRY_AFTER_SECONDS)
    if status == HTTPStatus.METHOD_NOT_ALLOWED and isinstance(error, HTTPException):
        response.headers["Allow"] = error.get_response().headers.get("Allow", "GET")
    return response


def proof_form(error: str = "", *, asks_code: bool = False) -> Response:
    """The form that asks for the password once more, and then sends what was sent."""
    fields = request.form.items(multi=True)
    carried = [(name, value) for name, value in fields if name != "csrf_token" and not name.startswith("proof_")]
    page = render_template("account/prove.html", carried=carried, error=error, asks_code=asks_code)
    return make_response(page, HTTPStatus.FORBIDDEN)


def _status(error: ProdError | HTTPException) -> int:
    if isinstance(error, ProdError):
        return error.http_status
    return error.code or error.get_response().status_code


def _to_login() -> Response:
    """Send the visitor to log in, and afterwards back to where they were, with what they had typed."""
    if is_partial():  # the script decides whether anything typed would be lost
        return Response(gettext("Log in again to continue."), HTTPStatus.UNAUTHORIZED)
    if is_event_stream():  # what is no stream is an error in the console; the polling that follows leads to the login
        return Response(status=HTTPStatus.NO_CONTENT)
    back = came_from()
    if can_be_draft():
        draft = typed_draft(request.path).packed()
        reason = gettext("You are no longer logged in. What you typed is kept: log in to continue.")
        page = render_template("login/login.html", note=reason, kept=draft, next=back)
        return make_response(page, HTTPStatus.UNAUTHORIZED)
    if request.method == "POST":
        flash(gettext("You are no longer logged in, so nothing was done. Log in to continue."), "note")
    elif "session_ended" in g:
        flash(gettext("Your session has ended. Log in to continue."), "note")
    target = with_query(url_for("pages.login.login"), next="" if back == "/" else back)
    return make_response(redirect(target, 303))
