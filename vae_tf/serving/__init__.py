"""Answers the requests of endpoints."""
