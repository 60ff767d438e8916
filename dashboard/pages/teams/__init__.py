"""Pages of teams and people: members, invitations, accounts, audit log."""
