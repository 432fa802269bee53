// A real OpenID provider: its people and its one client are told in the first argument, as JSON.
import { Provider } from 'oidc-provider';

const { issuer, client, people, algorithm } = JSON.parse(process.argv[2]);

const provider = new Provider(issuer, {
  clients: [client],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['preferred_username'] },
  findAccount: (_, id) => people[id] && ({ accountId: people[id].sub ?? id, claims: () => ({ ...people[id], sub: people[id].sub ?? id }) }),
  cookies: { keys: ['of a test'] },
  pkce: { required: () => true },
});
const { port } = new URL(issuer);
provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
