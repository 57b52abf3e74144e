"""Handles the requests to endpoints."""
