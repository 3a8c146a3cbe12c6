def runner(:
