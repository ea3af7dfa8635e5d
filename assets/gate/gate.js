// Leaves the page: to sign in again, or to end the session with the identity provider.
export default function leave({ data }) {
  if (data.to) window.location.assign(data.to);
  else window.location.reload();
}
