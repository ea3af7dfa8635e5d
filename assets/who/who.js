// Keeps who is tagging in a cookie, so that a browser goes by the same name after a reload.

/** The text that sets a cookie for a year; `secure` where the page came over https. */
export function cookieText({ name, value }, secure) {
  return `${name}=${value}; path=/; max-age=31536000; SameSite=Lax${secure ? "; Secure" : ""}`
}

export default function who({ data }) {
  if (!data || document.cookie.split("; ").includes(`${data.name}=${data.value}`)) return
  document.cookie = cookieText(data, location.protocol === "https:")
}
