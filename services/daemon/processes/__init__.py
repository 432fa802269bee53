"""Programs and all that they start: begun, limited, found and ended."""
