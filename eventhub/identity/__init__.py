"""Identity: who sent a request, and whether that user has access.

- `authenticator`: which user sent a request
- `rule`: who may use an endpoint
- `bearer`, `keys`: tokens, and the keys that check them
- `sessions`: the cookie
- `proxies`: which proxies are trusted, and what they say about a request
- `origin`: which web pages may connect
- `hosts`: which names the hub answers to
- `expiry`: what ends with a login
- `audit`: a line in the log for each refused request
"""
