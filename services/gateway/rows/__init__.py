"""Every statement of the gateway, and the shape of the rows that it gives: beside each module its SQL."""

from shared.store.statements import Statements

SQL = Statements(__name__)
