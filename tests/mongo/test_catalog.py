"""Products as a bare client finds them."""

from tests.support.products import A_TO_M, ANA, N_TO_Z, draft


def test_products_are_found_in_the_shard_of_their_name_by_a_bare_client(catalog, raw_products):
    for name in A_TO_M + N_TO_Z:
        catalog.create(draft(name), ANA)
    assert sorted(d["name"] for d in raw_products["rsA"].find()) == sorted(A_TO_M)
    assert sorted(d["name"] for d in raw_products["rsB"].find()) == sorted(N_TO_Z)
