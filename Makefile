.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
UV_VERSION := 0.13.9
# The system's trust store, not only the bundled one: behind a company's proxy the bundled one is not enough.
export UV_SYSTEM_CERTS := 1
export UV_PYTHON_DOWNLOADS := never
UV := .venv/bin/uv

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)
