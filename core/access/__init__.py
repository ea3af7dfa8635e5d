"""Who may do what in a workspace, and who did: people, roles, accounts, sign-ins, data roots, the audit log."""
