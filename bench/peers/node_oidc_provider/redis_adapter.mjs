// The state of node-oidc-provider in Redis: one key per stored object, one set per grant.
// What may be consumed is a hash, so that consuming it is one field written and the payload is never
// parsed and written again; everything else is a string. Each call is one round trip, and ioredis
// pipelines the calls that one turn of the event loop makes. Nothing here knows of HTTP.
import { Redis } from 'ioredis';

const CONSUMED_ONCE = new Set([
  'AuthorizationCode', 'RefreshToken', 'DeviceCode', 'BackchannelAuthenticationRequest',
]);
const BELONGS_TO_GRANT = new Set([...CONSUMED_ONCE, 'AccessToken']);

const grantKey = (id) => `grant:${id}`;
const uidKey = (uid) => `uid:${uid}`;
const userCodeKey = (code) => `user_code:${code}`;

export function redisAdapters(socketPath) {
  const redis = new Redis({ path: socketPath, enableAutoPipelining: true });

  class RedisAdapter {
    constructor(model) {
      this.model = model;
      this.consumedOnce = CONSUMED_ONCE.has(model);
    }

    key(id) {
      return `${this.model}:${id}`;
    }

    async upsert(id, payload, expiresInSeconds) {
      const key = this.key(id);
      const text = JSON.stringify(payload);
      const batch = redis.multi();
      if (this.consumedOnce) {
        batch.hset(key, 'payload', text);
        if (expiresInSeconds) batch.expire(key, expiresInSeconds);
      } else if (expiresInSeconds) {
        batch.set(key, text, 'EX', expiresInSeconds);
      } else {
        batch.set(key, text);
      }
      if (payload.grantId && BELONGS_TO_GRANT.has(this.model)) {
        const members = grantKey(payload.grantId);
        batch.sadd(members, key);
        // A first expiry and a later one: the set must outlive its longest member.
        if (expiresInSeconds) {
          batch.expire(members, expiresInSeconds, 'NX');
          batch.expire(members, expiresInSeconds, 'GT');
        }
      }
      if (payload.uid) batch.set(uidKey(payload.uid), id, 'EX', expiresInSeconds || 3600);
      if (payload.userCode) batch.set(userCodeKey(payload.userCode), id, 'EX', expiresInSeconds || 3600);
      await batch.exec();
    }

    async find(id) {
      if (!this.consumedOnce) {
        const text = await redis.get(this.key(id));
        return text ? JSON.parse(text) : undefined;
      }
      const [text, consumed] = await redis.hmget(this.key(id), 'payload', 'consumed');
      if (!text) return undefined;
      const payload = JSON.parse(text);
      return consumed ? { ...payload, consumed: Number(consumed) } : payload;
    }

    async findByUid(uid) {
      const id = await redis.get(uidKey(uid));
      return id ? this.find(id) : undefined;
    }

    async findByUserCode(code) {
      const id = await redis.get(userCodeKey(code));
      return id ? this.find(id) : undefined;
    }

    async consume(id) {
      await redis.hset(this.key(id), 'consumed', Math.floor(Date.now() / 1000));
    }

    async destroy(id) {
      await redis.del(this.key(id));
    }

    async revokeByGrantId(grantId) {
      const members = await redis.smembers(grantKey(grantId));
      await redis.del(grantKey(grantId), ...members);
    }
  }

  return RedisAdapter;
}
