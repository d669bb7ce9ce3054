"""The core: every rule of the catalogue and every line of MongoDB. The doors are prodctl, webapp and authsvc."""
