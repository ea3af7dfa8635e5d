"""What keeps a workspace safe: checksums, checks, copies, repair, and the servers of one host at a time."""
