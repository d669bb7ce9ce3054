"""Users, roles and tokens: the rules that webapp and authsvc share."""
