"""What the benches make products and people of."""

PASSWORD = "sandía caballo grapa correcta"  # noqa: S105  of a cluster that lives as long as the bench

WORDS = (
    *("aceite", "agua", "arroz", "atún", "azúcar", "café", "cerveza", "chocolate", "galletas", "gel", "harina"),
    *("jamón", "leche", "lejía", "miel", "naranja", "nata", "ñoquis", "pan", "pasta", "patatas", "pollo", "queso"),
    *("sal", "salmón", "sopa", "tomate", "uvas", "vino", "vinagre", "yogur", "zumo"),
)
"""Of both shards."""
