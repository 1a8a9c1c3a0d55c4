"""The data directory: what is here, receipts, partial files, claims, audits."""
