"""Pictures of every page, for ``scripts/screenshots``; takes a system of its own and leaves nothing behind."""

from __future__ import annotations

import argparse
import itertools
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from playwright.sync_api import sync_playwright

from tests.support.browser import launch, log_in_by_form
from tests.support.faults import members, stopped
from tests.support.site import ADMIN, PASSWORD, start_site

ROOT = Path(__file__).parents[2]
SIZES = {"wide": (1440, 900), "phone": (390, 844)}
LOCALES = {"es": "es-ES", "en": "en-GB"}
IN_DOCS = (
    "products-wide-light-es",
    "cluster-wide-light-en",
    "products-phone-dark-es",
    "drill-live-wide-light-en",
    "drill-wide-dark-es",
)
LIVE = [("wide", "light", "en"), ("phone", "light", "es"), ("wide", "dark", "es"), ("phone", "dark", "en")]
DRILL_MS = 180_000

PRODUCTS = [
    ("Aceite de oliva virgen extra", "Botella 1 L", "6.15", 120, "Aceite, especias y salsas"),
    ("Agua mineral", "Pack 6 x 1,5 L", "2.04", 300, "Agua y refrescos"),
    ("Arroz redondo", "Paquete 1 kg", "1.30", 84, "Arroz, legumbres y pasta"),
    ("Café molido natural", "Paquete 250 g", "3.10", 0, "Cacao, café e infusiones"),
    ("Garbanzos cocidos", "Tarro 570 g", "1.05", 61, "Arroz, legumbres y pasta"),
    ("Leche entera", "Brick 1 L", "0.96", 540, "Huevos, leche y mantequilla"),
    ("Manzana Golden", "Bolsa 1,5 kg", "2.85", 33, "Fruta y verdura"),
    ("Naranjas", "Malla 4 kg", "4.60", 47, "Fruta y verdura"),
    ("Ñoquis frescos", "Paquete 500 g", "1.80", 25, "Arroz, legumbres y pasta"),
    ("Pan de molde integral", "Paquete 460 g", "1.35", 72, "Panadería y pastelería"),
    ("Queso curado de oveja", "Cuña 350 g", "5.95", 18, "Charcutería y quesos"),
    ("Sandía sin pepitas", "1/2 pieza", "3.90", 9, "Fruta y verdura"),
    ("Tomate triturado", "Lata 400 g", "0.75", 210, "Conservas, caldos y cremas"),
    ("Yogur natural", "Pack 6 x 125 g", "1.10", 96, "Postres y yogures"),
    ("7 cereales", "Caja 375 g", "2.10", 40, "Cereales y galletas"),
]


CSV = """nombre;presentacion;precio;existencias;categoria;nota
Naranjas;Malla 4 kg;4,95;60;Fruta y verdura;sube
Tomate triturado;Lata 400 g;0,75;180;Conservas, caldos y cremas;
Pimientos asados;Tarro 220 g;1,65;44;Conservas, caldos y cremas;nuevo
Alcachofas;Lata 390 g;caro;10;Conservas, caldos y cremas;
Naranjas;Malla 4 kg;5,10;60;Fruta y verdura;otra vez
"""


@dataclass(frozen=True)
class Made:
    """What the pages show: a product with a history, a deleted one, an import."""

    product: str
    deleted: str
    import_id: str


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", action="store_true", help="also renew the pictures in docs/images")
    options = parser.parse_args()
    target = ROOT / "screenshots"
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        site = start_site(Path(directory) / "cluster")
        try:
            with sync_playwright() as playwright:
                camera = Camera(launch(playwright), site, target)
                _setup(camera)
                made = _fill(site)
                drill = _drill(camera)
                _take_all(camera, _pages(made, drill))
                _take_broken(camera, site)
        finally:
            site.cluster.destroy()
    if options.docs:
        (ROOT / "docs/images").mkdir(exist_ok=True)
        for name in IN_DOCS:
            shutil.copy(target / f"{name}.png", ROOT / "docs/images" / f"{name}.png")


def _fill(site):
    """The first admin, some products, and what was done to them."""
    site.make_admin()
    names = ("name", "variant", "price", "stock", "category")
    items = [dict(zip(names, values, strict=True)) for values in PRODUCTS]
    items[0]["description"] = "Primera prensada en frío.\nCosecha propia, de la Sierra de Cazorla."
    items[0]["tags"] = ["oliva", "virgen extra"]
    token, import_id = site.token(), str(uuid4())
    results = _call(site, "POST", "/products/batch", {"items": items, "import": import_id}, token)["results"]
    counts = {"created": len(items), "refused": 2}
    _call(site, "PUT", f"/imports/{import_id}", {"source": "catálogo de otoño.csv", "counts": counts}, token)
    product = results[0]["id"]
    _call(site, "PATCH", f"/products/{product}", {"price": "6.45", "stock": 96}, token, version=1)
    _call(site, "PATCH", f"/products/{product}", {"tags": ["oliva"], "category": "Aceites"}, token, version=2)
    gone = _call(site, "POST", "/products", {"name": "Kiwis", "variant": "Bandeja 600 g", "price": "2.10"}, token)["id"]
    _call(site, "DELETE", f"/products/{gone}", None, token, version=1)
    return Made(product, gone, import_id)


def _call(site, method, path, body, token, version=None):
    headers = {"If-Match": f'"{version}"'} if version else {}
    if method == "PATCH":
        headers["Content-Type"] = "application/merge-patch+json"
    answer = site.call(method, path, body, token=token, **headers)
    answer.raise_for_status()
    return answer.json() if answer.content else None


class Camera:
    """Pages of the site as the admin sees them, in a size, colours and a language."""

    def __init__(self, browser, site, target):
        self._browser, self._site, self._target = browser, site, target
        self._cookies = []

    @contextmanager
    def page(self, size, theme, language, *, logged_in=True):
        width, height = SIZES[size]
        context = self._browser.new_context(
            base_url=self._site.url,
            locale=LOCALES[language],
            color_scheme=theme,
            viewport={"width": width, "height": height},
            timezone_id="Europe/Madrid",
        )
        context.set_default_timeout(DRILL_MS)
        page = context.new_page()
        if self._cookies:
            context.add_cookies(self._cookies)
        elif logged_in:
            log_in_by_form(page)
            self._cookies = [c for c in context.cookies() if c["name"] == "prodctl"]
        yield page
        context.close()

    def shoot(self, page, name, *variant):
        page.screenshot(path=self._target / f"{'-'.join([name, *variant])}.png", full_page=True)


def _setup(camera):
    """The form for the first administrator, which is there only as long as there is none."""
    for variant in LIVE:
        with camera.page(*variant, logged_in=False) as page:
            page.goto("/setup")
            camera.shoot(page, "setup", *variant)


def _drill(camera):
    """Order a drill in the browser and take it as it runs; returns the path of its result."""
    with camera.page(*LIVE[0]) as page:
        page.goto("/drills/new")
        page.locator("[name=rounds]").fill("2")
        page.locator("#verdict .verdict-healthy").wait_for()
        page.locator(".drill-form .btn-danger").click()
        page.wait_for_url("**/drills/live/*")
        address = page.url
        page.locator(".steps tr").nth(4).wait_for(timeout=DRILL_MS)
        for variant in LIVE:
            with camera.page(*variant) as other:
                other.goto(address)
                other.locator(".drill-picture:visible").first.wait_for()
                camera.shoot(other, "drill-live", *variant)
        page.locator("#result-link").wait_for(timeout=DRILL_MS)
        return page.locator("#result-link").get_attribute("href")


def _pages(made, drill):
    product = made.product
    return {
        "home": "/",
        "products": "/products",
        "products-filtered": "/products?category=fruta+y+verdura&price_min=1&sort=-price&columns=tags,price,shard",
        "products-none": "/products?search=zzz&tag=bio",
        "products-wrong": "/products?price_min=abc",
        "products-deleted": "/products/deleted",
        "product-deleted": f"/products/{made.deleted}",
        "import": "/products/import",
        "imports": "/products/imports",
        "import-undo": f"/products/imports/{made.import_id}/undo",
        "product": f"/products/{product}",
        "product-new": "/products/new",
        "product-edit": f"/products/{product}/edit",
        "product-delete": f"/products/{product}/delete",
        "cluster": "/cluster",
        "cluster-set": "/cluster/rsA",
        "cluster-member": "/cluster/rsA/rsA-1",
        "cluster-switchover": "/cluster/rsA/switchover",
        "range-move": "/cluster/moves/new?from=g&below=n&target=rsB",
        "cluster-history": "/cluster/history",
        "drills": "/drills",
        "drill-new": "/drills/new",
        "drill": drill,
        "drill-compare": f"/drills/compare?a={drill.rpartition('/')[2]}&b={drill.rpartition('/')[2]}",
        "users": "/users",
        "user": f"/users/{ADMIN}",
        "user-new": "/users/new",
        "tokens": "/tokens",
        "account": "/account",
        "audit": "/audit",
        "not-found": "/nowhere",
    }


def _take_all(camera, pages):
    for variant in itertools.product(SIZES, ("light", "dark"), LOCALES):
        with camera.page(*variant) as page:
            for name, path in pages.items():
                page.goto(path)
                camera.shoot(page, name, *variant)
            for name in _steps(page):
                camera.shoot(page, name, *variant)
            page.context.clear_cookies(name="prodctl")
            page.goto("/login")
            camera.shoot(page, "login", *variant)


def _take_broken(camera, site):
    """The list and the cluster while a shard is out, and products of one without a majority."""
    with stopped(site, members(site, "rsB")):
        for variant in LIVE:
            with camera.page(*variant) as page:
                for name, path, sign in (
                    ("products-partial", "/products", ".banner"),
                    ("cluster-broken", "/cluster", ".verdict:not(.verdict-healthy)"),
                ):
                    page.goto(path)
                    page.locator(sign).first.wait_for()
                    camera.shoot(page, name, *variant)
    with stopped(site, members(site, "rsB")[:2]):
        for variant in LIVE:
            with camera.page(*variant) as page:
                page.goto("/products?shard=rsB")
                page.locator(".banner").first.wait_for()
                camera.shoot(page, "products-stale", *variant)
                page.locator(".product-name a, a.product-name").first.click()
                page.locator(".banner").first.wait_for()
                camera.shoot(page, "product-stale", *variant)


def _steps(page):
    """Pages that are only reached by doing something: nothing is changed for good."""
    page.goto("/products")
    for i, name in enumerate(("filters", "columns")):
        page.locator(".finder summary").nth(i).click()
        yield f"products-{name}"
        page.keyboard.press("Escape")
    for action in ("delete", "edit"):
        page.goto("/products?category=fruta+y+verdura")
        page.locator("[data-select-page]").check()
        if action == "edit":
            yield "products-selected"
        page.locator(f"[name=action][value={action}]").click()
        yield f"bulk-{action}"
    page.locator("#stock").fill("12")
    page.locator("form .btn-primary").click()
    yield "bulk-preview"
    page.goto("/products?search=aceite")
    page.locator(".product-name").first.click()
    page.locator("a[href$='/edit']").click()
    page.locator("#stock").fill("12")
    page.locator("[name=version]").evaluate("field => { field.value = 1 }")
    page.locator("form .btn-primary").click()
    yield "product-conflict"
    page.goto("/account")
    page.locator("form[action='/account/second-factor'] button").click()
    page.locator("#proof_password").fill(PASSWORD)
    yield "prove"
    page.locator("form[action='/account/second-factor'] .btn-primary").click()
    page.locator(".qr").wait_for()
    yield "second-factor"
    page.goto("/products/import")
    csv = {"name": "precios.csv", "mimeType": "text/csv", "buffer": CSV.encode()}
    page.locator("#upload").set_input_files(csv)
    page.locator("#numbers").select_option("es")
    page.locator("form.card-plain .btn-primary").click()
    yield "import-preview"
    page.locator("[formaction$='/run']").click()
    page.locator("#run-part a.btn-primary").wait_for()
    yield "import-done"
    page.locator("#run-part a[href$=undo]").click()
    page.locator(".btn-danger").click()
    page.locator("#run-part a.btn-primary").wait_for()
    yield "import-undone"


if __name__ == "__main__":
    main()
