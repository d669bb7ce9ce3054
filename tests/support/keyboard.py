"""What somebody without a mouse does: go on with Tab, look where the focus is, press a key."""

from playwright.sync_api import expect

MOST_TABS = 90


def tab_to(page, locator):
    """Press Tab until the element has the focus, which can be seen."""
    for _ in range(MOST_TABS):
        if locator.evaluate("element => element === document.activeElement"):
            ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert ring != "none", "the focus cannot be seen"
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never reached {locator}")


def press(page, locator, key="Enter"):
    tab_to(page, locator)
    page.keyboard.press(key)


def type_into(page, field, text):
    """Type once the page has put the focus where it belongs: as soon as somebody can see it, and no sooner."""
    expect(field).to_be_focused()
    page.keyboard.type(text)
    expect(field).to_have_value(text)


def fill(page, field, text):
    """Go to a field and write this into it, instead of what it holds."""
    tab_to(page, field)
    page.keyboard.press("Control+A")
    page.keyboard.type(text)


def choose(page, select, label):
    """Go to a list of choices and take the one that is called so, by typing its name."""
    tab_to(page, select)
    page.keyboard.type(label)
    expect(select.locator("option:checked")).to_have_text(label)
