// node-oidc-provider as a peer of the bench: loopback only, state in Redis, one process.
// It is set up to give the answers that Vestibule gives, so that the same generator drives both: PKCE,
// rotation of every refresh token, a refresh token with every code, no consent page for a trusted client,
// and a password check that costs one scrypt (N=16384). The pages are plain forms without JavaScript.
// The settings come as one JSON object in PEER_SETTINGS, written by bench/peers/node_oidc_provider.py.
import { generateKeyPairSync, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import { promisify } from 'node:util';

import { Provider } from 'oidc-provider';

import { redisAdapters } from './redis_adapter.mjs';

const settings = JSON.parse(process.env.PEER_SETTINGS);
const issuer = `http://127.0.0.1:${settings.port}`;
const hash = promisify(scrypt);
const SCRYPT = { N: 16384, r: 8, p: 1 };

const salt = randomBytes(16);
const stored = await hash(settings.password, salt, 64, SCRYPT);
const people = new Set(settings.accounts);

async function passwordIsRight(identifier, password) {
  const given = await hash(password, salt, 64, SCRYPT);
  return timingSafeEqual(given, stored) && people.has(identifier);
}

function signingKeys() {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  return { keys: [{ ...rsa, alg: 'RS256', use: 'sig' }, { ...ec, alg: 'ES256', use: 'sig' }] };
}

const provider = new Provider(issuer, {
  adapter: redisAdapters(settings.redis_socket),
  jwks: signingKeys(),
  clients: [{
    client_id: settings.client_id,
    client_secret: settings.client_secret,
    redirect_uris: [settings.redirect_uri],
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    response_types: ['code'],
    token_endpoint_auth_method: 'client_secret_basic',
    id_token_signed_response_alg: settings.alg,
    scope: 'openid profile email offline_access',
  }],
  cookies: { keys: [randomBytes(32).toString('base64url')] },
  claims: { openid: ['sub'], profile: ['name', 'given_name', 'family_name'], email: ['email', 'email_verified'] },
  scopes: ['openid', 'profile', 'email', 'offline_access'],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: () => ({
        scope: 'read',
        audience: settings.resource,
        accessTokenTTL: 300,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: settings.alg } },
      }),
    },
  },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  ttl: {
    AccessToken: (ctx, token) => token.resourceServer?.accessTokenTTL ?? 300,
    AuthorizationCode: 60,
    ClientCredentials: 300,
    Grant: 14 * 3600,
    IdToken: 300,
    Interaction: 900,
    RefreshToken: 14 * 3600,
    Session: 14 * 3600,
  },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (ctx, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      name: `Camille ${id}`,
      given_name: 'Camille',
      family_name: id,
      email: `${id}@example.org`,
      email_verified: true,
    }),
  }),
  async loadExistingGrant(ctx) {
    const known = ctx.oidc.result?.consent?.grantId ?? ctx.oidc.session.grantIdFor(ctx.oidc.client.clientId);
    if (known) return ctx.oidc.provider.Grant.find(known);
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope('openid profile email offline_access');
    await grant.save();
    return grant;
  },
});

function signInPage(uid, message) {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in</title></head><body>
<h1>Sign in</h1><p>${message}</p>
<form id="signin-form" method="post" action="/interaction/${uid}">
<label>Identifier <input type="text" name="identifier" required></label>
<label>Password <input type="password" name="password" required></label>
<button type="submit">Sign in</button></form></body></html>`;
}

const consentPage = (uid) => `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Consent</title></head>
<body><h1>Consent</h1><form id="consent-form" method="post" action="/interaction/${uid}">
<button type="submit" name="consent" value="given">Continue</button></form></body></html>`;

function sendPage(response, status, page) {
  response.writeHead(status, {
    'content-type': 'text/html; charset=utf-8',
    'content-length': Buffer.byteLength(page),
    'cache-control': 'no-store',
  });
  response.end(page);
}

async function readForm(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return new URLSearchParams(Buffer.concat(parts).toString());
}

async function interaction(request, response) {
  const { uid, prompt, grantId } = await provider.interactionDetails(request, response);
  if (request.method !== 'POST') {
    sendPage(response, 200, prompt.name === 'consent' ? consentPage(uid) : signInPage(uid, ''));
    return;
  }
  if (prompt.name === 'consent') {
    await provider.interactionFinished(request, response, { consent: { grantId } }, { mergeWithLastSubmission: true });
    return;
  }
  const form = await readForm(request);
  const identifier = form.get('identifier') ?? '';
  if (await passwordIsRight(identifier, form.get('password') ?? '')) {
    const result = { login: { accountId: identifier, amr: ['pwd'] } };
    await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
  } else {
    sendPage(response, 401, signInPage(uid, 'The identifier or the password is not right.'));
  }
}

const protocol = provider.callback();
const server = createServer((request, response) => {
  if (!request.url.startsWith('/interaction/')) {
    protocol(request, response);
    return;
  }
  interaction(request, response).catch((error) => {
    process.stderr.write(`${error.stack}\n`);
    sendPage(response, 400, 'This sign-in cannot be continued.');
  });
});
provider.on('server_error', (ctx, error) => process.stderr.write(`${error.stack}\n`));
server.keepAliveTimeout = 120_000;
server.listen(settings.port, '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
