"""What is told of a delivery."""

from __future__ import annotations

from services.gateway.rows import SQL
from services.gateway.rows.directives import Standing

LOOK_NOW = SQL.query("look_now", Standing)
TELL_DELIVERY = SQL.query("tell_delivery", Standing)
