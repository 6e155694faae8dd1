#!/usr/bin/env bash
# contract.sh [PYTEST_ARGUMENT…]: prints, for each Django, the table of the servers and the cases of the contract.
# The tables are printed also when a case fails.
set -euo pipefail
cd "$(dirname "$0")/.."
rm -rf target/contract
status=0
django=$(.venv/bin/python -c 'import django; print("%d.%d" % django.VERSION[:2])')
echo "==> The contract with Django $django"
.venv/bin/python -m pytest -q -p no:cacheprovider tests/python/contract \
    --junitxml "target/contract/Django-$django.xml" "$@" || status=1
scripts/test-matrix.sh contract "$@" || status=1
.venv/bin/python scripts/contract_table.py target/contract/*.xml || status=1
exit "$status"
