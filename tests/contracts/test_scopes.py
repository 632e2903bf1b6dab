"""A new operation is put into the table of scopes; tests/api tries every scope on every operation."""

from services.gateway.app import ROUTES
from services.gateway.edge import OPEN
from services.gateway.route_names import names_of
from tests.contracts.scopes import NEEDS


def test_every_operation_is_in_the_table_of_scopes_once() -> None:
    served = sorted(name for name in names_of(ROUTES) if name.split()[1] not in OPEN)
    assert served == sorted(name for names in NEEDS.values() for name in names)
