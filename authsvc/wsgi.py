"""What the WSGI server loads: ``authsvc.wsgi:app``. One of the two modules whose import has an effect."""

from authsvc.app import create_app
from prodcore.settings import load_settings

app = create_app(load_settings())
