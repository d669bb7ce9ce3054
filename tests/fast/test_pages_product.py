"""A product's page: what it was over time, an earlier version brought back, its copy, its neighbours."""

import re
from decimal import Decimal

import pytest

from prodcore.identity.rights import Role
from prodcore.product.model import at_version
from tests.support.desk import Desk
from tests.support.products import ANA, EVA, draft, patch
from webapp.pages.product import curve_of


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def rice(desk):
    """In its fourth version."""
    made = desk.catalog.create(draft("Arroz", sku="A-1", stock=10, variant="1 kg"), EVA)
    for version, fields in enumerate(({"price": "2"}, {"stock": 3, "tags": ["bio"]}, {"price": "1.50"}), 1):
        desk.catalog.edit(made.id, patch(**fields), ANA, version)
    return desk.catalog.get(made.id)


def test_every_version_is_what_it_was(desk, rice):
    history = desk.catalog.history(rice.id)
    versions = [at_version(rice, history, n) for n in (1, 2, 3, 4)]
    assert [(v.price, v.stock, v.tags) for v in versions] == [
        (Decimal("1.20"), 10, ()), (Decimal(2), 10, ()), (Decimal(2), 3, ("bio",)), (Decimal("1.50"), 3, ("bio",)),
    ]  # fmt: skip


def test_price_and_stock_are_drawn_with_their_values_in_a_table(desk, rice):
    page = desk.get(f"/products/{rice.id}").text
    assert page.count('class="product-line"') == 2
    for value in ("€1.20", "€2.00", "€1.50"):
        assert f'<td class="amount">{value}</td>' in page
    history = desk.catalog.history(rice.id)
    assert [value for _at, value, _by in curve_of(rice, history, "stock").points] == [10, 3]
    assert curve_of(rice, history, "active") is None
    spots = curve_of(rice, history, "price").spots
    assert [point[1] for _x, _width, point in spots] == [point[1] for point in curve_of(rice, history, "price").points]
    assert sum(width for _x, width, _point in spots) == pytest.approx(600, abs=0.2)
    other = desk.catalog.create(draft("Pan"), EVA)
    assert "product-line" not in desk.get(f"/products/{other.id}").text


def test_an_earlier_version_is_compared_and_brought_back(desk, rice):
    path = f"/products/{rice.id}/versions/1"
    assert f'href="{path}"' in desk.get(f"/products/{rice.id}").text
    cells = re.findall(r'<td class="user-text">([^<]*)</td>', desk.get(path).text)
    assert [cell for cell in cells if "€" in cell] == ["€1.20", "€1.50"]
    assert desk.post(path, {"version": "4"}, page=path).status_code == 303
    stored = desk.catalog.get(rice.id)
    assert (stored.version, stored.price, stored.stock, stored.tags) == (5, Decimal("1.20"), 10, ())
    assert "/undo" in desk.get(f"/products/{rice.id}").text


def test_a_version_over_a_border_says_where_it_leads(desk, rice):
    desk.catalog.edit(rice.id, patch(name="Zumo"), ANA, 4)
    path = f"/products/{rice.id}/versions/4"
    assert "This name belongs to another shard" in desk.get(path).text
    desk.post(path, {"version": "5"}, page=path)
    assert desk.catalog.get(rice.id).shard == "rsA"


def test_what_somebody_changed_meanwhile_is_compared_again(desk, rice):
    path = f"/products/{rice.id}/versions/1"
    answer = desk.post(path, {"version": "3"}, page=path)
    assert answer.location == path
    assert desk.catalog.get(rice.id).version == 4


@pytest.mark.parametrize("version", [0, 4, 99])
def test_a_version_that_is_no_earlier_one_is_not_found(desk, rice, version):
    assert desk.get(f"/products/{rice.id}/versions/{version}").status_code == 404


def test_a_copy_begins_with_everything_but_the_codes(desk, rice):
    form = desk.get(f"/products/new?from={rice.id}").text
    fields = dict(re.findall(r'name="(\w+)" class="form-control"[^>]* value="([^"]*)"', form))
    assert (fields["name"], fields["variant"], fields["sku"]) == ("Arroz", "1 kg (copy)", "")
    assert fields["price"] == "1.50"
    assert desk.get("/products/new?from=x").status_code == 400


def test_neighbours_lead_over_the_border_of_shards(desk, rice):
    bread = desk.catalog.create(draft("Pan"), EVA)
    sign = desk.catalog.create(draft("7up"), EVA)
    page = desk.get(f"/products/{rice.id}").text
    assert f'rel="prev" href="/products/{sign.id}"' in page
    assert f'rel="next" href="/products/{bread.id}"' in page
    assert 'rel="next"' not in desk.get(f"/products/{bread.id}").text


def test_a_viewer_compares_and_changes_nothing(desk, rice):
    desk.role = Role.VIEWER
    path = f"/products/{rice.id}/versions/1"
    assert "Restore these values" not in desk.get(path).text
    assert desk.post(path, {"version": "4"}, page=path).status_code == 403


def test_category_tags_and_shard_lead_to_their_lists(desk):
    made = desk.catalog.create(draft("Té", category="Té y café", tags=["bio & fair"]), ANA)
    page = desk.get(f"/products/{made.id}").text
    for address in ("category=T%C3%A9+y+caf%C3%A9", "tag=bio+%26+fair", f"shard={made.shard}"):
        assert f'href="/products?{address}"' in page
