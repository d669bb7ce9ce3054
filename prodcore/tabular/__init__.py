"""Files of products: CSV, XLSX, ODS and NDJSON, read and written; no rule of the catalogue is in here."""
