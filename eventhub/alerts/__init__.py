"""Alerts: mails about messages, each sent once as far as SMTP can promise that.

`worker` takes events from the work queue, and `sender` sends their mails: `rule` decides whether
an event has one, `mail_template` renders it to a `mail`, and `smtp` hands that to a mail server.
What cannot be sent is kept by `dead_letters`; `operations` is what an operator does with those.
"""
