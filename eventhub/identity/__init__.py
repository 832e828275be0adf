"""Identity: who sent a request, and whether it may.

`authenticator` names the user and holds the rule of an endpoint; `bearer` and `keys` check tokens,
`sessions` keeps the cookie. `origin` decides which web pages may connect, `hosts` which names the
hub answers to, and `audit` logs who was refused.
"""
