"""Pictures of every page, for ``scripts/screenshots``; takes a system of its own and leaves nothing behind."""

from __future__ import annotations

import argparse
import itertools
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.system.browser import launch, log_in_by_form
from tests.system.site import ADMIN, start_site

ROOT = Path(__file__).parents[2]
SIZES = {"wide": (1440, 900), "phone": (390, 844)}
LOCALES = {"es": "es-ES", "en": "en-GB"}
IN_DOCS = ("products-wide-light-es", "cluster-wide-light-en", "products-phone-dark-es")

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


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", action="store_true", help="also renew the pictures in docs/images")
    options = parser.parse_args()
    target = ROOT / "screenshots"
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        site = start_site(Path(directory) / "cluster")
        try:
            product = _fill(site)
            with sync_playwright() as playwright:
                _take_all(launch(playwright), site, product, target)
        finally:
            site.cluster.destroy()
    if options.docs:
        (ROOT / "docs/images").mkdir(exist_ok=True)
        for name in IN_DOCS:
            shutil.copy(target / f"{name}.png", ROOT / "docs/images" / f"{name}.png")


def _fill(site):
    """The first admin and some products; returns the id of one."""
    site.make_admin()
    names = ("name", "variant", "price", "stock", "category")
    items = [dict(zip(names, values, strict=True)) for values in PRODUCTS]
    items[0]["description"] = "Primera prensada en frío.\nCosecha propia, de la Sierra de Cazorla."
    items[0]["tags"] = ["oliva", "virgen extra"]
    answer = site.call("POST", "/products/batch", {"items": items}, token=site.token())
    answer.raise_for_status()
    return answer.json()["results"][0]["id"]


def _take_all(browser, site, product, target):
    pages = {
        "products": "/products",
        "products-none": "/products?search=zzz",
        "product": f"/products/{product}",
        "product-new": "/products/new",
        "product-edit": f"/products/{product}/edit",
        "product-delete": f"/products/{product}/delete",
        "cluster": "/cluster",
        "cluster-set": "/cluster/rsA",
        "drills": "/drills",
        "users": "/users",
        "user": f"/users/{ADMIN}",
        "account": "/account",
        "audit": "/audit",
        "not-found": "/nowhere",
    }
    cookies = []
    for size, theme, language in itertools.product(SIZES, ("light", "dark"), LOCALES):
        width, height = SIZES[size]
        context = browser.new_context(
            base_url=site.url,
            locale=LOCALES[language],
            color_scheme=theme,
            viewport={"width": width, "height": height},
            timezone_id="Europe/Madrid",
        )
        page = context.new_page()
        page.goto("/login")
        page.screenshot(path=target / f"login-{size}-{theme}-{language}.png")
        if cookies:
            context.add_cookies(cookies)
        else:
            log_in_by_form(page)
            cookies = [c for c in context.cookies() if c["name"] == "prodctl"]
        for name, path in pages.items():
            page.goto(path)
            page.screenshot(path=target / f"{name}-{size}-{theme}-{language}.png", full_page=True)
        context.close()


if __name__ == "__main__":
    main()
