"""What is told of a delivery."""

from __future__ import annotations

from services.gateway.rows import SQL
from services.gateway.rows.directives import StatusNow

LOOK_NOW = SQL.query("look_now", StatusNow)
TELL_DELIVERY = SQL.query("tell_delivery", StatusNow)
