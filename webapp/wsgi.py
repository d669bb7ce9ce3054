"""What the WSGI server loads: ``webapp.wsgi:app``. One of the two modules whose import has an effect."""

from prodcore.settings import load_settings
from webapp.app import create_app

app = create_app(load_settings())
