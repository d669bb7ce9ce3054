"""The people who change products in the tests."""

from prodcore.product.history import Author

ANA = Author("ana", request_id="request-of-ana")
EVA = Author("eva")
