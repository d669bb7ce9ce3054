"""The command line's filters are the REST API's."""

from prodcore.catalog.stores import SORTS
from prodctl.importing import options
from webapp.api.listing import FilterQuery


def test_options_are_the_parameters_of_the_api():
    assert {*options.FILTERS, "sort"} == set(FilterQuery.model_fields)
    assert set(options.SORTS) == set(SORTS)


def test_only_what_was_given_is_asked_for():
    given = {"search": None, "category": "", "tag": (), "active": False, "stock_max": 0, "sort": "name", "limit": 5}
    asked = {"category": "", "active": "false", "stock_max": 0, "sort": "name"}
    assert options.query_of(given) == asked
