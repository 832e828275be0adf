"""Alerts: mails that events cause, each sent once as far as SMTP can promise that."""
