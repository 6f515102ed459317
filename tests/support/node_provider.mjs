// node-oidc-provider as an upstream provider for tests: loopback only, everything in memory, plain forms without JavaScript.
// Its settings come as one JSON object in UPSTREAM_SETTINGS, written by tests/support/node_provider.py; its packages are those that the bench locks.
// POST /test/… is the tests' hand inside: what time it is, who there is, new keys.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const settings = JSON.parse(process.env.UPSTREAM_SETTINGS);
const { Provider } = await import(pathToFileURL(`${settings.packages}/oidc-provider/lib/index.js`).href);

// The fixed clock of the tests: it stands still until it is told.
const systemNow = Date.now;
let moment;
Date.now = () => moment ?? systemNow();

let people = settings.people;
const cookieKey = randomBytes(32).toString('base64url');
const algorithms = settings.algorithms ?? ['RS256', 'ES256'];

function newKeys() {
  const kid = () => randomBytes(6).toString('hex');
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  return { keys: [{ ...rsa, kid: kid(), use: 'sig' }, { ...ec, kid: kid(), alg: 'ES256', use: 'sig' }] };
}

const isHere = (id) => people[id] !== undefined && people[id].disabled !== true;
const scopesOf = { openid: ['sub'], ...settings.scopes };

function makeProvider() {
  const provider = new Provider(settings.issuer, {
    jwks: newKeys(),
    clients: settings.clients.map((client) => ({
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      scope: Object.keys(scopesOf).concat('offline_access').join(' '),
      ...client,
    })),
    cookies: { keys: [cookieKey] },
    acrValues: settings.acrValues,
    claims: { acr: null, amr: null, auth_time: null, ...scopesOf },
    scopes: [...Object.keys(scopesOf), 'offline_access'],
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
    enabledJWA: { idTokenSigningAlgValues: algorithms, userinfoSigningAlgValues: algorithms },
    features: {
      devInteractions: { enabled: false },
      jwtUserinfo: { enabled: true },
      claimsParameter: { enabled: true },
    },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
    ttl: { AccessToken: 300, AuthorizationCode: 60, Grant: 14 * 3600, IdToken: 300, Interaction: 900, RefreshToken: 14 * 3600, Session: 14 * 3600 },
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (ctx, id) => (isHere(id) ? { accountId: id, claims: () => ({ sub: id, ...people[id].claims }) } : undefined),
    async loadExistingGrant(ctx) {
      const { client, session, result } = ctx.oidc;
      const known = result?.consent?.grantId ?? session.grantIdFor(client.clientId);
      if (known) return provider.Grant.find(known);
      const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
      grant.addOIDCScope([...Object.keys(scopesOf), 'offline_access'].join(' '));
      grant.addOIDCClaims(['acr', 'amr', 'auth_time']);
      await grant.save();
      return grant;
    },
  });
  provider.on('server_error', (ctx, error) => process.stderr.write(`${error.stack}\n`));
  for (const name of ['authorization.error', 'grant.error', 'userinfo.error']) {
    provider.on(name, (ctx, error) => process.stderr.write(`${name}: ${error.message} ${error.error_detail ?? ''}\n`));
  }
  return provider;
}

let provider = makeProvider();
let protocol = provider.callback();

const page = (uid, message, hint) => `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>The other provider</title></head><body>
<h1>The other provider</h1><p id="message">${message}</p>
<form id="upstream-form" method="post" action="/interaction/${uid}">
<label>Login <input type="text" name="login" value="${hint}"></label>
<label>Code <input type="password" name="code"></label>
<button type="submit" name="act" value="sign-in">Sign in</button>
<button type="submit" name="act" value="cancel">Cancel</button></form></body></html>`;

function send(response, status, body, type = 'text/html; charset=utf-8') {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body), 'cache-control': 'no-store' });
  response.end(body);
}

async function read(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

const escaped = (text) => text.replace(/[&<>"]/g, (one) => `&#${one.charCodeAt(0)};`);

async function interaction(request, response) {
  const { uid, params } = await provider.interactionDetails(request, response);
  if (request.method !== 'POST') {
    send(response, 200, page(uid, 'Sign in', escaped(params.login_hint ?? '')));
    return;
  }
  const form = new URLSearchParams(await read(request));
  if (form.get('act') === 'cancel') {
    await provider.interactionFinished(request, response, { error: 'access_denied', error_description: 'the person gave up' });
    return;
  }
  const id = Object.keys(people).find((one) => people[one].login === form.get('login'));
  if (id === undefined || !isHere(id) || people[id].code !== form.get('code')) {
    send(response, 401, page(uid, 'The login or the code is not right.', ''));
    return;
  }
  const { levels = [], amr } = people[id];
  const demanded = JSON.parse(params.claims ?? '{}').id_token?.acr?.values;
  const asked = demanded ?? (params.acr_values ?? '').split(' ');
  const acr = asked.find((one) => levels.includes(one)) ?? levels[0];
  if (demanded !== undefined && !demanded.includes(acr)) {
    await provider.interactionFinished(request, response, { error: 'unmet_authentication_requirements' });
    return;
  }
  await provider.interactionFinished(request, response, { login: { accountId: id, ...(acr ? { acr } : {}), ...(amr ? { amr } : {}) } });
}

async function hand(request, response) {
  const said = JSON.parse((await read(request)) || '{}');
  if (request.url === '/test/time') moment = said.milliseconds;
  else if (request.url === '/test/people') people = said;
  else if (request.url === '/test/keys' || request.url === '/test/redirects') {
    for (const client of settings.clients) client.redirect_uris = said.uris ?? client.redirect_uris;
    provider = makeProvider();
    protocol = provider.callback();
  } else {
    send(response, 404, '');
    return;
  }
  send(response, 200, '{}', 'application/json');
}

const server = createServer((request, response) => {
  const failed = (error) => {
    process.stderr.write(`${error.stack}\n`);
    send(response, 400, 'This cannot be continued.');
  };
  if (request.url.startsWith('/test/')) hand(request, response).catch(failed);
  else if (request.url.startsWith('/interaction/')) interaction(request, response).catch(failed);
  else {
    // Pro Santé Connect publishes its metadata under a name of its own.
    request.url = request.url.replace('/.well-known/wallet-openid-configuration', '/.well-known/openid-configuration');
    protocol(request, response);
  }
});
server.keepAliveTimeout = 120_000;
server.listen(settings.port, '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
