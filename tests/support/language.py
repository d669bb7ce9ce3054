"""The sentences of the pages in the languages that they speak, so that one walk through them serves every language."""

import gettext
from pathlib import Path

import pytest

import webapp

LOCALES = {"en": "en-GB", "es": "es-ES"}
IN_EVERY_LANGUAGE = pytest.mark.parametrize("language", ["es", pytest.param("en", marks=pytest.mark.nightly)])
"""By day the one whose sentences may be missing; other tests speak English."""


def speak(language):
    """``say("Create")`` and ``say("Undo %(name)s", name="x.csv")`` in that language; ``context`` tells twins apart."""
    folder = Path(webapp.__file__).parent / "translations"
    catalog = gettext.translation("messages", folder, [language], fallback=language == "en")

    def say(sentence, context=None, **facts):
        said = catalog.pgettext(context, sentence) if context else catalog.gettext(sentence)
        assert language == "en" or said != sentence, f"not translated: {sentence}"
        return said % facts if facts else said

    return say
