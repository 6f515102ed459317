"""The protocol engine: OAuth 2 and OpenID Connect on Authlib and joserfc. It knows sign-in's values, never its pages."""
