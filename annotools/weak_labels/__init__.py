"""Make the cheaper labels that one could have bought instead of a full one."""
